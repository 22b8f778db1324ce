#include "config/markup.hpp"

#include <gtest/gtest.h>

#include <string>

namespace understudy::config {
namespace {

TEST(Markup, NothingThatStrangersSayIsMarkup) {
  EXPECT_EQ(xml_escaped("a<b>&\"c\"\nd"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;d");
  EXPECT_EQ(xml_escaped(std::string("\x01\x1b[31m\0", 7)), "??[31m?");
  EXPECT_EQ(xml_escaped("Zürich"), "Zürich");
  EXPECT_EQ(xml_escaped(""), "");
}

}  // namespace
}  // namespace understudy::config
