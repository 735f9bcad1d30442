// What a function asks of faasm: its input and output, and calls to other functions.
//
// A function is a program: `int main(int argc, char **argv)`. Each call runs it in a fresh
// instance, of which nothing stays. What main returns, 0 to 255, is the call's result; 0 means
// that all went well.
//
// Errors are negative FAASM_E* values, or NULL with faasm_errno(). A pointer outside the memory of
// the instance ends the call.
#ifndef FAASM_H
#define FAASM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// An argument is not allowed.
#define FAASM_EINVAL (-1)
// There is no such thing.
#define FAASM_ENOENT (-2)
// It exists already.
#define FAASM_EEXIST (-3)
// No memory.
#define FAASM_ENOMEM (-4)
// No node has room.
#define FAASM_EFULL (-5)
// The time or the deadline is over.
#define FAASM_ETIMEDOUT (-6)
// The call was cancelled.
#define FAASM_ECANCELLED (-7)
// The node that ran the call, or has its output, was lost.
#define FAASM_EHOSTLOST (-8)
// The function trapped, ended with a result outside 0 to 255, or could not be run.
#define FAASM_EFAILED (-9)
// A limit of the function was exceeded.
#define FAASM_ELIMIT (-10)
// The user's quota is used up.
#define FAASM_EQUOTA (-11)
// Not allowed.
#define FAASM_EPERM (-12)
// Somebody else holds the lock.
#define FAASM_ELOCKED (-13)
// The lock was lost.
#define FAASM_ELOCKLOST (-14)
// Waiting would never end.
#define FAASM_EDEADLK (-15)
// The value was deleted and made anew.
#define FAASM_ESTALE (-16)
// Try again.
#define FAASM_EAGAIN (-17)
// Too large.
#define FAASM_ETOOBIG (-18)
// Too few nodes are up.
#define FAASM_EUNAVAILABLE (-19)
// Input or output failed.
#define FAASM_EIO (-20)
// Not offered here.
#define FAASM_ENOSYS (-21)

// The error of the last function here that returned NULL. Others do not change it.
int faasm_errno(void);

// --- Input and output -------------------------------------------------------------------------

// The input of this call: malloc'ed, to be freed by the caller, followed by a NUL that `*len` does
// not count. Never NULL for an empty input. `len` may be NULL.
// NULL: FAASM_ENOMEM.
uint8_t *read_call_input(size_t *len);

// Makes these bytes the output of this call. They are copied; of several writes the last one
// counts. Without any the output is empty.
// Returns 0. A larger output than the function's limit (64 MiB unless set at upload) ends the call
// with FAASM_ELIMIT.
int write_call_output(const void *data, size_t len);

// --- Calls ------------------------------------------------------------------------------------

// Calls function `name` of the same user, with `len` bytes at `args` (copied) as its input. The
// call runs at once, here or on another node, while this one goes on.
// Returns its call_id, 0 or more: a small number that this instance, and no other, can use until
// it ends, also after the call was awaited. A call that nobody awaits runs on, until the deadline
// of its tree.
// Errors: FAASM_ENOENT no function of that name; FAASM_EINVAL it cannot be a name; FAASM_EFULL no
// node has room; FAASM_ELIMIT more calls above this one (64) or calls made by it (100,000) than
// allowed; FAASM_EUNAVAILABLE this node has lost the others.
int chain_call(const char *name, const void *args, size_t len);

// Calls function `f` of this very program: its return value is the call's result, its input and
// output are read and written as in main. It runs in a fresh instance, somewhere: constructors
// have run, and FAASM_ZYGOTE if there is one, but nothing of this instance's memory is there,
// neither globals as they are now nor what pointers in `args` point to.
// Returns a call_id. Errors as with chain_call, and FAASM_EINVAL: `f` is no function that the
// program was linked with.
int chain_call_ptr(int (*f)(void), const void *args, size_t len);

// Waits until the call ends, at most until the deadline of this tree of calls.
// Returns its result, 0 to 255, again for a call that was awaited before.
// Errors: FAASM_EINVAL no call_id of this instance; FAASM_EFAILED, FAASM_ELIMIT, FAASM_EHOSTLOST,
// FAASM_ETIMEDOUT, FAASM_ECANCELLED what became of the call; call_error tells more.
int await_call(int call_id);

// The same, waiting `ms` milliseconds at most: FAASM_ETIMEDOUT when the call still runs then. 0
// looks and does not wait; a negative number waits as await_call does.
int await_call_timeout(int call_id, int64_t ms);

// Waits until one of `n` calls has ended, `ms` milliseconds at most (negative: as await_call).
// Returns the call_id of one that has ended, however it did. Errors: FAASM_ETIMEDOUT none has;
// FAASM_EINVAL `n` is 0, or one is no call_id of this instance.
int await_any(const int *call_ids, size_t n, int64_t ms);

// The output of a call, waiting until it ends: malloc'ed, to be freed by the caller, followed by a
// NUL that `*len` does not count. Never NULL for an empty output. `len` may be NULL.
// NULL: the errors of await_call; FAASM_ENOMEM; FAASM_EHOSTLOST the node that has it was lost.
uint8_t *get_call_output(int call_id, size_t *len);

// Cancels the call and all calls below it. Fine if it has ended.
// Returns 0, or FAASM_EINVAL: no call_id of this instance.
int cancel_call(int call_id);

// What went wrong with a call, as text for people: malloc'ed, to be freed by the caller. Empty
// while it runs, and if nothing went wrong.
// NULL: FAASM_EINVAL no call_id of this instance; FAASM_ENOMEM.
char *call_error(int call_id);

#ifdef __cplusplus
}
#endif

#endif
