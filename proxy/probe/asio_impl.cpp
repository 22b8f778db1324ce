// The one translation unit that carries Asio's compiled part (BOOST_ASIO_SEPARATE_COMPILATION is set for
// every target). The SSL half comes along because it must be compiled together with the first, should any
// part use asio::ssl.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
