// tsan.h -- whether the tests run under ThreadSanitizer.

#ifndef PIM_TESTS_SUPPORT_TSAN_H
#define PIM_TESTS_SUPPORT_TSAN_H

#if defined(__SANITIZE_THREAD__)
#    define PIM_TSAN 1
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define PIM_TSAN 1
#    endif
#endif
#ifndef PIM_TSAN
#    define PIM_TSAN 0
#endif

#endif // PIM_TESTS_SUPPORT_TSAN_H
