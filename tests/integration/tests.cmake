# One story a file, each a ctest of its own, run one at a time against the binary of this build.
if(NOT TARGET understudy)
  return()
endif()
file(GLOB stories CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*_test.py)
set(UNDERSTUDY_STORY_SLOW 1)
if(UNDERSTUDY_SANITIZE)
  # Sanitizers look for wrong memory and races, not for times: the stories that measure are left to the release build.
  set(UNDERSTUDY_STORY_SLOW 3)
  list(FILTER stories INCLUDE REGEX
    "/(http|hostile|hostile_answers|early_answers|framing_oracle|desync|tunnel|frames|websocket|tls|identity|hedge|reload|process|log|names|restart)_test.py$")
endif()
foreach(story ${stories})
  get_filename_component(name ${story} NAME_WE)
  add_test(NAME integration.${name} COMMAND /usr/bin/python3 -W ignore ${story})
  set_tests_properties(integration.${name} PROPERTIES LABELS integration RUN_SERIAL ON TIMEOUT 420
    ENVIRONMENT "UNDERSTUDY_BINARY=$<TARGET_FILE:understudy>;UNDERSTUDY_SLOW=${UNDERSTUDY_STORY_SLOW}")
endforeach()
# Every scenario that is shipped holds, in virtual time.
file(GLOB drills CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/deploy/drills/*.toml)
foreach(drill ${drills})
  get_filename_component(name ${drill} NAME_WE)
  add_test(NAME rehearse.${name} COMMAND understudy rehearse ${drill})
  set_tests_properties(rehearse.${name} PROPERTIES LABELS unit TIMEOUT 120)
endforeach()
# Those for sockets: in virtual time too where that is possible, and on sockets in their shortened form.
file(GLOB sandbox CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/deploy/drills/sandbox/*.toml)
foreach(drill ${sandbox})
  get_filename_component(name ${drill} NAME_WE)
  if(NOT name MATCHES "^(binary_restart|cold_standby|device_fleet_returns|overload|parked_fleet|reload_under_load|slow_openings)$")
    add_test(NAME rehearse.sandbox.${name} COMMAND understudy rehearse ${drill})
    set_tests_properties(rehearse.sandbox.${name} PROPERTIES LABELS unit TIMEOUT 120)
  endif()
  # They measure times.
  if(NOT UNDERSTUDY_SANITIZE)
    add_test(NAME drill.${name} COMMAND understudy drill --short --retries 2 ${drill})
    set_tests_properties(drill.${name} PROPERTIES LABELS drill RUN_SERIAL ON TIMEOUT 180)
  endif()
endforeach()
