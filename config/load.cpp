#include "config/load.hpp"

#include <algorithm>
#include <tuple>

#include "config/document.hpp"
#include "config/reader.hpp"
#include "config/validate.hpp"

namespace understudy::config {
namespace {

auto order(const Diagnostic& diagnostic) {
  return std::tie(diagnostic.line, diagnostic.column, diagnostic.severity, diagnostic.message);
}

}  // namespace

void sort_diagnostics(std::vector<Diagnostic>& diagnostics) {
  std::stable_sort(diagnostics.begin(), diagnostics.end(),
                   [](const Diagnostic& a, const Diagnostic& b) { return order(a) < order(b); });
  const auto same = [](const Diagnostic& a, const Diagnostic& b) { return order(a) == order(b); };
  diagnostics.erase(std::unique(diagnostics.begin(), diagnostics.end(), same), diagnostics.end());
}

LoadResult load(std::string_view text, const std::string& file, const LoadContext& context) {
  LoadResult result;
  Diagnostic failure;
  auto document = parse_document(text, file, failure);
  if (!document) {
    result.diagnostics.push_back(std::move(failure));
    return result;
  }
  Reader reader(file, context);
  Root root;
  reader.expand(*document);
  reader.read_table(root_section(), *document, &root, "", "");
  complete(root, reader);
  validate(root.config, reader);
  validate_check_defaults(root.check, root.config, reader);
  if (!reader.failed()) result.config = std::move(root.config);
  result.diagnostics = reader.take_diagnostics();
  result.origins = reader.take_origins();
  sort_diagnostics(result.diagnostics);
  return result;
}

}  // namespace understudy::config
