// The JSON shapes of incidents, and the list of them for people.
//
//   in a list   {"number","pool","severity","state","summary","began","detected","decided","moved","traffic_moved","verified",
//                "went_back","returned","closed","duration_ms","detect_ms","decide_ms","shift_ms","verify_ms","return_ms",
//                "moved_to","diagnosis","verdict","relapses","restarts","epoch_before","epoch","config","counts":{…}}
//   whole       the same with "tiers", "entries":[{"at","kind","event","text",…}] and "samples":[{"from","over_ms",…}]
//
// Times are RFC 3339 in UTC with milliseconds; those not reached are null. The lengths count from `began`.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "health/incident/incident.hpp"

namespace understudy::admin {

boost::json::object describe_incident(const incident::Incident& incident);
boost::json::object describe_whole_incident(const incident::Incident& incident);

// The answer of /api/v1/incidents as a table, the newest first; "" when there is none.
std::string incidents_text(const boost::json::value& incidents);

}  // namespace understudy::admin
