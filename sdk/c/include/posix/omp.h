// OpenMP's library for one thread, as a compiler has it that passes its pragmas over.
#ifndef FAASM_POSIX_OMP_H
#define FAASM_POSIX_OMP_H

#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int held;
} omp_lock_t;
typedef omp_lock_t omp_nest_lock_t;
typedef enum {
    omp_sched_static = 1,
    omp_sched_dynamic = 2,
    omp_sched_guided = 3,
    omp_sched_auto = 4
} omp_sched_t;
typedef enum {
    omp_proc_bind_false = 0,
    omp_proc_bind_true = 1,
    omp_proc_bind_primary = 2,
    omp_proc_bind_master = 2,
    omp_proc_bind_close = 3,
    omp_proc_bind_spread = 4
} omp_proc_bind_t;
typedef enum { omp_sync_hint_none = 0, omp_lock_hint_none = 0 } omp_sync_hint_t;
typedef omp_sync_hint_t omp_lock_hint_t;

#define FAASM_OMP_ONE(name, value)                                                                \
    static __inline int name(void) { return value; }
FAASM_OMP_ONE(omp_get_num_threads, 1)
FAASM_OMP_ONE(omp_get_max_threads, 1)
FAASM_OMP_ONE(omp_get_thread_num, 0)
FAASM_OMP_ONE(omp_get_num_procs, 1)
FAASM_OMP_ONE(omp_in_parallel, 0)
FAASM_OMP_ONE(omp_get_dynamic, 0)
FAASM_OMP_ONE(omp_get_nested, 0)
FAASM_OMP_ONE(omp_get_cancellation, 0)
FAASM_OMP_ONE(omp_get_thread_limit, 1)
FAASM_OMP_ONE(omp_get_max_active_levels, 0)
FAASM_OMP_ONE(omp_get_level, 0)
FAASM_OMP_ONE(omp_get_active_level, 0)
FAASM_OMP_ONE(omp_in_final, 1)
FAASM_OMP_ONE(omp_get_num_places, 0)
FAASM_OMP_ONE(omp_get_place_num, -1)
FAASM_OMP_ONE(omp_get_default_device, 0)
FAASM_OMP_ONE(omp_get_num_devices, 0)
FAASM_OMP_ONE(omp_get_initial_device, 0)
FAASM_OMP_ONE(omp_is_initial_device, 1)
FAASM_OMP_ONE(omp_get_num_teams, 1)
FAASM_OMP_ONE(omp_get_team_num, 0)
#undef FAASM_OMP_ONE

static __inline omp_proc_bind_t omp_get_proc_bind(void) { return omp_proc_bind_false; }

static __inline void omp_set_num_threads(int count) { (void)count; }
static __inline void omp_set_dynamic(int dynamic) { (void)dynamic; }
static __inline void omp_set_nested(int nested) { (void)nested; }
static __inline void omp_set_max_active_levels(int levels) { (void)levels; }
static __inline void omp_set_default_device(int device) { (void)device; }
static __inline void omp_set_schedule(omp_sched_t kind, int chunk) { (void)kind, (void)chunk; }
static __inline void omp_get_schedule(omp_sched_t *kind, int *chunk)
{
    *kind = omp_sched_static;
    *chunk = 0;
}
static __inline int omp_get_ancestor_thread_num(int level) { return level == 0 ? 0 : -1; }
static __inline int omp_get_team_size(int level) { return level == 0 ? 1 : -1; }

static __inline double omp_get_wtime(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
static __inline double omp_get_wtick(void) { return 1e-9; }

static __inline void omp_init_lock(omp_lock_t *lock) { lock->held = 0; }
static __inline void omp_destroy_lock(omp_lock_t *lock) { (void)lock; }
static __inline void omp_set_lock(omp_lock_t *lock) { lock->held = 1; }
static __inline void omp_unset_lock(omp_lock_t *lock) { lock->held = 0; }
static __inline int omp_test_lock(omp_lock_t *lock)
{
    int free = !lock->held;
    lock->held = 1;
    return free;
}
static __inline void omp_init_nest_lock(omp_nest_lock_t *lock) { lock->held = 0; }
static __inline void omp_destroy_nest_lock(omp_nest_lock_t *lock) { (void)lock; }
static __inline void omp_set_nest_lock(omp_nest_lock_t *lock) { lock->held += 1; }
static __inline void omp_unset_nest_lock(omp_nest_lock_t *lock) { lock->held -= 1; }
static __inline int omp_test_nest_lock(omp_nest_lock_t *lock) { return lock->held += 1; }

#ifdef __cplusplus
}
#endif

#endif
