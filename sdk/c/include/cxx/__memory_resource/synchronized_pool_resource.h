// The constructor in Debian's library makes it without the lock that it would have with threads.
#include <__memory_resource/unsynchronized_pool_resource.h>
#include <mutex>
#define _LIBCPP_HAS_NO_THREADS
#include_next <__memory_resource/synchronized_pool_resource.h>
#undef _LIBCPP_HAS_NO_THREADS
