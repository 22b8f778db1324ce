// What a worker has open.
#pragma once

#include "proxy/net/h1_connection.hpp"
#include "proxy/net/tunnel.hpp"
#include "proxy/net/worker.hpp"

namespace understudy::net {

struct Worker::ConnectionList {
  List<H1Connection, ConnectionHook> connections;  // oldest activity first is not kept: in order of arrival
  List<Tunnel, TunnelHook> tunnels;
};

}  // namespace understudy::net
