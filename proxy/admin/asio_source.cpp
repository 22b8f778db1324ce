// Asio is compiled separately (BOOST_ASIO_SEPARATE_COMPILATION). This file holds nothing else, so that of
// several such members in the folders' libraries the linker takes exactly one.
#include <boost/asio/impl/src.hpp>
