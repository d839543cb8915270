# Installs manual pages and documents.  Links between documents stay as they are;
# links to headers and manual pages are turned to where those are installed, and
# links to what is not installed (sources, tests, CONTRIBUTING.md) become plain text.

file(GLOB pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/man/*.[1-9]")
foreach(page IN LISTS pages)
  get_filename_component(section "${page}" LAST_EXT)
  string(REPLACE "." "man" section "${section}")
  install(FILES "${page}" DESTINATION "${CMAKE_INSTALL_MANDIR}/${section}")
endforeach()

# The way from DOCDIR to another folder of the installation.
function(pim_from_docdir folder out)
  if(NOT IS_ABSOLUTE "${folder}" AND NOT IS_ABSOLUTE "${CMAKE_INSTALL_DOCDIR}")
    file(RELATIVE_PATH folder "/${CMAKE_INSTALL_DOCDIR}" "/${folder}")
  endif()
  set(${out} "${folder}" PARENT_SCOPE)
endfunction()
pim_from_docdir("${CMAKE_INSTALL_INCLUDEDIR}" to_include)
pim_from_docdir("${CMAKE_INSTALL_MANDIR}" to_man)

# pim_install_document(<path below the source tree>): to the same path below
# DOCDIR.
function(pim_install_document document)
  set(source "${PROJECT_SOURCE_DIR}/${document}")
  if(NOT EXISTS "${source}")
    return()
  endif()
  get_filename_component(folder "${document}" DIRECTORY)
  set(include "${to_include}")
  set(man "${to_man}")
  foreach(way include man)
    if(folder AND NOT IS_ABSOLUTE "${${way}}")
      set(${way} "../${${way}}")
    endif()
  endforeach()
  file(READ "${source}" text)
  string(REGEX REPLACE "\\]\\((\\.\\./)*include/" "](${include}/" text "${text}")
  string(REGEX REPLACE "\\]\\((docs/)?man/([^)]*)\\.([1-9])\\)"
    "](${man}/man\\3/\\2.\\3)" text "${text}")
  string(REGEX REPLACE
    "\\[([^]\n]*)\\]\\((\\.\\./)*((src|hooks|tests|scripts|bench|cmake|\\.ci)/[^)\n]*|CONTRIBUTING\\.md)\\)"
    "\\1" text "${text}")
  set(copy "${PROJECT_BINARY_DIR}/documents/${document}")
  file(WRITE "${copy}" "${text}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
  install(FILES "${copy}" DESTINATION "${CMAKE_INSTALL_DOCDIR}/${folder}")
endfunction()

file(GLOB documents CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
  "${PROJECT_SOURCE_DIR}/docs/*.md")
foreach(document README.md CHANGELOG.md ${documents})
  pim_install_document("${document}")
endforeach()

file(GLOB others CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/*.json")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES ${others} DESTINATION "${CMAKE_INSTALL_DOCDIR}/docs")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/examples" DESTINATION "${CMAKE_INSTALL_DOCDIR}"
  PATTERN "CMakeLists.txt" EXCLUDE)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/docs/img" DESTINATION "${CMAKE_INSTALL_DOCDIR}/docs"
  FILES_MATCHING PATTERN "*.svg" PATTERN "*.png" PATTERN "*.md")
