// tsan.h -- whether the tests run under ThreadSanitizer, and how it is told of an
// order that it does not see.

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

#if PIM_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#else
#    define __tsan_acquire(address) ((void)(address))
#    define __tsan_release(address) ((void)(address))
#endif

#endif // PIM_TESTS_SUPPORT_TSAN_H
