#include "health/incident/report.hpp"

#include <algorithm>

#include "health/incident/chart.hpp"
#include "health/incident/words.hpp"

namespace understudy::incident {
namespace {

constexpr std::size_t kEvidence = 12;  // sentences under the cause

// Text of others inside Markdown.
std::string plain(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '|':
      case '`':
      case '*':
      case '_':
      case '[':
      case ']':
      case '#':
      case '\\':
        out += '\\';
        out += c;
        break;
      default: out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return out;
}

void row(std::string& out, std::initializer_list<std::string> cells) {
  for (const std::string& cell : cells) out += "| " + cell + " ";
  out += "|\n";
}

void heading(std::string& out, const std::string& text) { out += "\n## " + text + "\n\n"; }

void impact(std::string& out, const Incident& incident) {
  heading(out, "Impact");
  const Counts& counts = incident.counts;
  row(out, {"what", "count"});
  row(out, {"---", "---:"});
  row(out, {"requests answered", thousands(counts.requests)});
  row(out, {"failed (5xx)", thousands(counts.failed) + " (" + share(counts.error_share()) + ")"});
  row(out, {"of them: no endpoint was available", thousands(counts.unavailable)});
  row(out, {"of them: shed", thousands(counts.shed)});
  row(out, {"of them: too many WebSockets were being opened", thousands(counts.openings_refused)});
  row(out, {"attempts after the first", thousands(counts.retried)});
  row(out, {"retries that the budget refused", thousands(counts.retries_refused)});
  row(out, {"queued, for a tier or for their turn", thousands(counts.queued)});
  row(out, {"of them: WebSockets, for their turn to be opened", thousands(counts.openings_queued)});
  row(out, {"WebSockets dropped", thousands(counts.tunnels_dropped)});
  row(out, {"WebSockets parked: without an endpoint, their clients did not notice", thousands(counts.tunnels_parked)});
  row(out, {"of them: reopened at another endpoint", thousands(counts.tunnels_resumed)});
  row(out, {"WebSockets opened by clients", thousands(counts.tunnels_opened)});
  std::chrono::microseconds worst{};
  for (const Sample& sample : incident.samples)
    if (sample.end() > incident.opened.began) worst = std::max(worst, sample.p95);
  row(out, {"slowest 95th percentile of a point",
            worst.count() == 0 ? "-" : length(std::chrono::round<std::chrono::milliseconds>(worst))});
}

void times(std::string& out, const Incident& incident) {
  heading(out, "Times");
  row(out, {"step", "when (UTC)", "after the first sign", "what it is"});
  row(out, {"---", "---", "---:", "---"});
  row(out, {"begin", clock(incident.opened.began), "0", "the first abnormal sample or signal"});
  for (const Step& step : steps(incident))
    row(out,
        {std::string(step.name), clock(step.at), after(step.at, incident.opened.began), std::string(step.meaning)});
  row(out, {"close", incident.closed ? clock(incident.closed->at) : "open",
            incident.closed ? after(incident.closed->at, incident.opened.began) : "-",
            incident.closed ? plain(incident.closed->text) : "it is not over"});
}

void cause(std::string& out, const Incident& incident) {
  heading(out, "Probable cause");
  out += incident.diagnosis.empty() ? "Nothing was found that explains it.\n" : plain(incident.diagnosis) + ".\n";
  std::size_t told = 0;
  for (const Entry& entry : incident.entries) {
    const bool evidence = entry.kind == Entry::Kind::signal && entry.at >= incident.opened.began;
    if (!evidence || told >= kEvidence) continue;
    if (told++ == 0) out += "\nEvidence:\n\n";
    out += "- " + clock(entry.at) + ": " + plain(entry.text) + "\n";
  }
  if (!incident.verdict.empty()) out += "\nVerdict on the move: " + plain(incident.verdict) + ".\n";
}

void charts(std::string& out, const Incident& incident) {
  Chart errors{"Failed requests", "%", {}, {}}, latency{"Latency, 95th percentile", "ms", {}, {}};
  for (const Sample& sample : incident.samples) {
    const Wall middle = sample.from + sample.over / 2;
    errors.points.emplace_back(middle, sample.counts.error_share() * 100);
    if (sample.p95.count() > 0) latency.points.emplace_back(middle, static_cast<double>(sample.p95.count()) / 1000);
  }
  std::vector<Chart::Mark> marks{{incident.opened.began, "begin"}};
  if (incident.moved) marks.push_back({*incident.moved, "moved"});
  if (incident.went_back) marks.push_back({*incident.went_back, "back"});
  errors.marks = latency.marks = marks;
  const std::string first = svg(errors), second = svg(latency);
  if (first.empty() && second.empty()) return;
  heading(out, "What clients met");
  out += first + "\n" + second;
}

void timeline(std::string& out, const Incident& incident) {
  heading(out, "Timeline");
  row(out, {"when (UTC)", "after", "kind", "what"});
  row(out, {"---", "---:", "---", "---"});
  for (const Entry& entry : incident.entries) {
    std::string text = plain(entry.text);
    if (!entry.who.empty()) text += " (ordered by " + plain(entry.who) + ")";
    for (const std::string& one : entry.alternatives) text += "<br>" + plain(one);
    row(out, {clock(entry.at), after(entry.at, incident.opened.began),
              std::string(name_of(entry.kind)) + ", " + plain(entry.event), text});
  }
  if (incident.closed && incident.closed->left_out > 0)
    out += "\n" + thousands(incident.closed->left_out) + " more were not written down.\n";
  if (incident.damaged > 0) out += "\n" + thousands(incident.damaged) + " lines on disk could not be read.\n";
}

void to_add(std::string& out) {
  heading(out, "To add");
  for (const char* prompt :
       {"**Root cause**: why did it happen? What had changed before? (deployments, data, traffic, a provider)",
        "**Who was affected**, and how did they notice? Which of the failed requests mattered?",
        "**How it was found**: by an alert, by a customer, by chance? What would have found it earlier?",
        "**What people did** beside the machine, and what slowed them down.", "**What went well**, and what was luck.",
        "**What will change**: each with an owner and a date. Which drill would have shown it?"})
    out += std::string("- [ ] ") + prompt + "\n";
}

}  // namespace

std::vector<Step> steps(const Incident& incident) {
  std::vector<Step> out{{"detect", "the first signal was told", incident.opened.detected}};
  const auto add = [&out](std::string_view name, std::string_view meaning, const std::optional<Wall>& at) {
    if (at) out.push_back({name, meaning, *at});
  };
  add("decide", "it was decided what to do", incident.decided);
  add("shift", "all new requests are due to another tier", incident.traffic_moved);
  add("verify", "it was judged whether that helped", incident.verified);
  add("return", "traffic went back (the last time)", incident.went_back);
  add("normal", "everything was as it should be (the last time)", incident.returned);
  return out;
}

std::string markdown(const Incident& incident, Charts with_charts) {
  const Wall began = incident.opened.began;
  std::string out = "# Incident " + std::to_string(incident.number) + ": pool " + plain(incident.opened.pool) + ", " +
                    date(began) + "\n\n";
  out += "Severity: " + std::string(name_of(incident.severity)) + ". State: " + (incident.open() ? "open" : "closed") +
         ". A draft by understudy " + plain(incident.opened.version) + "; people have to complete it.\n";
  if (!incident.opened.drill.empty())
    out += "\nThis was a drill: " + plain(incident.opened.drill) + ". What went wrong was injected on purpose.\n";
  heading(out, "Summary");
  out += plain(summary(incident)) + "\n";
  impact(out, incident);
  times(out, incident);
  cause(out, incident);
  if (with_charts == Charts::with) charts(out, incident);
  timeline(out, incident);
  heading(out, "Setting");
  out += "- Tier that served: " + plain(incident.opened.tier) + "; epochs " + std::to_string(incident.opened.epoch) +
         " to " + std::to_string(incident.epoch) + "\n- Configuration: " + plain(incident.opened.config);
  if (incident.configured != incident.opened.config) out += ", then " + plain(incident.configured);
  out += "\n- Relapses: " + std::to_string(incident.relapses) +
         "; restarts of understudy meanwhile: " + std::to_string(incident.restarts) + "\n";
  to_add(out);
  return out;
}

}  // namespace understudy::incident
