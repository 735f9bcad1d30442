// What programs expect of sys/time.h beyond the libc's: timers, which never ring.
#ifndef FAASM_POSIX_SYS_TIME_H
#define FAASM_POSIX_SYS_TIME_H

#include_next <sys/time.h>

#define ITIMER_REAL 0
#define ITIMER_VIRTUAL 1
#define ITIMER_PROF 2

#ifdef __cplusplus
extern "C" {
#endif

struct itimerval {
    struct timeval it_interval, it_value;
};

int getitimer(int which, struct itimerval *value);
int setitimer(int which, const struct itimerval *__restrict value,
              struct itimerval *__restrict old);

#ifdef __cplusplus
}
#endif

#endif
