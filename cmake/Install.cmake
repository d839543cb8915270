# Install, export and package.  Nothing installed names the build tree.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/pimalloc")

install(TARGETS pimalloc pimalloc_static EXPORT pimallocTargets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(TARGETS pimalloc-run RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(TARGETS pimalloc_preload LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/pimalloc"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(EXPORT pimallocTargets NAMESPACE pimalloc:: DESTINATION "${package_dir}")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/pimallocConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/pimallocConfig.cmake" INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/pimallocConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/pimallocConfig.cmake"
  "${PROJECT_BINARY_DIR}/pimallocConfigVersion.cmake" DESTINATION "${package_dir}")

# pkg-config finds the prefix from where the file lies, however deep LIBDIR is.
file(RELATIVE_PATH PIM_PC_TO_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" PIM_PC_TO_PREFIX "${PIM_PC_TO_PREFIX}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/pimalloc.pc.in" "${PROJECT_BINARY_DIR}/pimalloc.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/pimalloc.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# A mimalloc that we fetched goes along (MIT licence), beside libpimalloc.
if(PIM_MIMALLOC_FETCHED)
  file(REAL_PATH "${PIM_MIMALLOC_LIBRARY}" mimalloc)
  install(PROGRAMS "${mimalloc}" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pimalloc"
    RENAME libmimalloc.so.3)
  string(REGEX REPLACE "/usr/lib/.*$" "/usr/share/doc/libmimalloc3/copyright"
    licence "${PIM_MIMALLOC_LIBRARY}")
  install(FILES "${licence}" DESTINATION "${CMAKE_INSTALL_DOCDIR}"
    RENAME libmimalloc.copyright OPTIONAL)
endif()
include(Documents)

set(CPACK_PACKAGE_VENDOR "the pimalloc developers")
set(CPACK_PACKAGE_CONTACT "the pimalloc developers <pimalloc@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR TGZ)
find_program(PIM_DPKG_DEB dpkg-deb)
if(PIM_DPKG_DEB)
  list(APPEND CPACK_GENERATOR DEB)
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= 2.34)")
if(NOT PIM_MIMALLOC_FETCHED)
  string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", libmimalloc3 (>= 3.6)")
endif()
include(CPack)
