// What programs expect of time.h beyond the libc's: times are UTC.
#ifndef FAASM_POSIX_TIME_H
#define FAASM_POSIX_TIME_H

#include_next <time.h>

#ifdef __cplusplus
extern "C" {
#endif

void tzset(void);
extern long timezone;
extern int daylight;
extern char *tzname[2];

#ifdef __cplusplus
}
#endif

#endif
