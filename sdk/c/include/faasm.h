// What a function asks of faasm: its input and output, calls to other functions, and state.
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

// Calls function `name` of the same user as an MPI job of so many ranks, each an instance of it, on
// whichever nodes have room for all of them at once; until they do, the job waits in line. Rank 0
// has `len` bytes at `args` as its input, which it can also read as stdin; the others have none. The
// job's output is what rank 0 writes, its log what all ranks print, and its result 0 when all ranks
// ended with 0, else the first other one. When a rank fails, the job does.
// Returns a call_id for the job, as chain_call does for a call. Errors as with chain_call, and
// FAASM_EINVAL: there are 1 to 4096 ranks; FAASM_EFULL: too many jobs wait here already.
int chain_mpi(const char *name, int ranks, const void *args, size_t len);

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

// --- State ------------------------------------------------------------------------------------
//
// A value is an array of bytes with a key, shared by all functions of a user. Keys are strings of
// 1 to 512 bytes of UTF-8; values have 0 bytes to 1 TiB. Sizes and offsets are bytes.
//
// Each value has an owner among the nodes, which keeps it safe with two others, and each node that
// uses it has one copy in memory, which all instances there share: what one writes through its
// pointer the others read at once, without a call and without a copy. Copies of different nodes
// are exchanged by push_state and pull_state only. What is promised:
// - A pull, a push and an append each happen at the owner at one moment: nobody sees half of one.
// - A push that returned 0 survives the sudden end of any minority of the nodes that keep the
//   value, and of all nodes at once.
// - Under lock_state_global_write, with a pull after locking and a push before unlocking, reads
//   and writes are linearizable. append_state is, without a lock.
// - Through a pointer nothing is promised but what the memory of a machine does: instances that
//   write and read the same bytes use locks or atomics (compile with -matomics). A loop that waits
//   for a plain variable to change may never see it.
//
// Changes are found and sent in chunks of 4 KiB: if two nodes push changes of the same chunk, the
// last push wins for the whole chunk. push_state_offset sends just its bytes.
//
// All functions here also fail with: FAASM_EINVAL the key cannot be one; FAASM_ELOCKLOST this call
// held the key's global lock and lost it, because its node was cut off: it can do nothing with the
// key any more. Those that ask the owner: FAASM_EUNAVAILABLE no owner could answer, too few nodes
// are up; FAASM_ELOCKED (writes) another call holds the global write lock; FAASM_EPERM (writes) this
// call holds the global read lock.

// Flags of get_state and get_state_offset.
// Fetch what changed at the owner, also when a copy is here; what was written here and not pushed
// is lost, as with pull_state.
#define FAASM_STATE_PULL 1
// Make the value where there is none.
#define FAASM_STATE_CREATE 2

// A pointer to the value: into the copy that all instances on this node share. Writing through it
// changes the copy; push_state sends the changes to the owner. What is not here yet is fetched.
// `*len` becomes the size; with FAASM_STATE_CREATE it must hold the size to create, of zeros, where
// there is no such value. Without that flag `len` may be NULL.
// The pointer stays valid until release_state or the end of the call, also when the value changes
// its size or is deleted; bytes behind the value's end mean nothing. Asking again for the same range
// gives the same pointer.
// NULL: FAASM_ENOENT no such value; FAASM_ETOOBIG it does not fit into this function's memory (use
// ranges); FAASM_EQUOTA the user's share of the node's memory for values is used up; FAASM_ENOMEM
// all of it is, by values that are in use or not pushed; FAASM_ELIMIT 1,024 pieces of values are
// mapped already, or more on all of the node than its kernel allows.
uint8_t *get_state(const char *key, uint64_t *len, int flags);

// The same for `len` bytes from `off` on; only they are fetched. FAASM_STATE_CREATE is not allowed.
// NULL: as above; FAASM_EINVAL the range passes the value's end.
uint8_t *get_state_offset(const char *key, uint64_t off, size_t len, int flags);

// Gives a pointer of get_state or get_state_offset back; its addresses are used again.
// Returns 0, or FAASM_EINVAL: it is none, or was given back.
int release_state(const void *ptr);

// Writes all of the value here, which has `len` bytes from then on. The owner hears of it with the
// next push_state, which also makes the value if there is none.
// Returns 0. Errors: FAASM_EQUOTA, FAASM_ENOMEM as with get_state.
int set_state(const char *key, const void *val, size_t len);

// Writes `len` bytes at `off` here, and flags them as written for push_state_flagged.
// Returns 0. Errors: FAASM_ENOENT; FAASM_EINVAL the range passes the value's end; FAASM_EQUOTA,
// FAASM_ENOMEM as with get_state.
int set_state_offset(const char *key, const void *val, size_t len, uint64_t off);

// Sends all chunks that changed here to the owner, whoever on this node changed them, and the size
// if that changed. They become visible all at once. Nothing is sent if nothing changed.
// Returns 0 when it is durable. Errors: FAASM_ESTALE the value was deleted since it was fetched
// (get_state gives the new one, if there is one); FAASM_EQUOTA the user's quota; FAASM_EIO the
// owner's disk is full.
int push_state(const char *key);

// Sends just these bytes, changed or not. Pushes of different ranges by different nodes all
// survive, also within one chunk.
// Errors: as push_state; FAASM_EINVAL the range passes the value's end.
int push_state_offset(const char *key, uint64_t off, uint64_t len);

// Flags bytes as written; push_state_flagged sends just those that were flagged, here or by
// set_state_offset, since they were last sent.
// flag_state returns 0. Errors: FAASM_ENOENT there is no copy here; FAASM_EINVAL the range passes
// its end. push_state_flagged: as push_state.
int flag_state(const char *key, uint64_t off, uint64_t len);
int push_state_flagged(const char *key);

// Makes the copy here equal to the value, as of one moment: chunks that changed at the owner are
// fetched, and those that were written here and not pushed, whose changes are lost. Of a copy of
// which only ranges are here, only those; without a copy all of it.
// Returns 0. Errors: FAASM_ENOENT; FAASM_ESTALE the value was deleted since it was fetched;
// FAASM_EAGAIN the value changed faster than it could be fetched.
int pull_state(const char *key);

// The same for a range, which is here afterwards.
int pull_state_offset(const char *key, uint64_t off, uint64_t len);

// Appends `len` bytes, at most 1 MiB, as one element at the owner; makes the value if there is
// none. Durable on return, in some order with all other appends. The copy here does not change.
// Returns 0. Errors: FAASM_ETOOBIG; FAASM_EQUOTA the user's quota.
int append_state(const char *key, const void *val, size_t len);

// Copies the first `n` elements appended since the last clear, one behind the other, at most `len`
// bytes of them. Asks the owner.
// Returns how many bytes, or an error: FAASM_ENOENT.
int64_t read_appended_state(const char *key, size_t n, void *into, size_t len);

// Forgets all elements: the value has no bytes from then on.
// Returns 0. Errors: FAASM_ENOENT.
int clear_appended_state(const char *key);

// Makes a value of `size` zeros, durable on return.
// Returns 0. Errors: FAASM_EEXIST there is one, which does not change; FAASM_ETOOBIG more than
// 1 TiB; FAASM_EQUOTA the user's quota.
int create_state(const char *key, uint64_t size);

// The size: of the copy here if there is one, else of the value.
// Errors: FAASM_ENOENT.
int64_t state_size(const char *key);

// Removes the value. Who has it mapped keeps the bytes, and cannot push them.
// Returns 0. Errors: FAASM_ENOENT.
int delete_state(const char *key);

// Locks of a key among the instances of this node: many readers or one writer, in the order in
// which they asked. They end with the call at the latest.
// Locking returns 0 when the call holds the lock; it waits as long as that takes, or at most `ms`
// milliseconds (a negative number: as long as it takes). Errors: FAASM_ETIMEDOUT; FAASM_EDEADLK the
// call holds the lock already, in whatever mode, or waiting would never end: the holder waits for
// this call, perhaps by await_call. Unlocking: FAASM_EPERM the call does not hold it so.
int lock_state_read(const char *key);
int lock_state_write(const char *key);
int lock_state_read_timeout(const char *key, int64_t ms);
int lock_state_write_timeout(const char *key, int64_t ms);
int unlock_state_read(const char *key);
int unlock_state_write(const char *key);

// The same among all instances of the cluster. While a call holds the write lock nobody else can
// write to the owner; under the read lock nobody can. What was written on this node and not pushed
// when a call ends that holds the write lock is lost: nobody sees half of it. pull_state after
// locking, push_state before unlocking.
// Errors: also FAASM_EUNAVAILABLE too few nodes are up; FAASM_EFULL too many locks or waiters.
int lock_state_global_read(const char *key);
int lock_state_global_write(const char *key);
int lock_state_global_read_timeout(const char *key, int64_t ms);
int lock_state_global_write_timeout(const char *key, int64_t ms);
int unlock_state_global_read(const char *key);
int unlock_state_global_write(const char *key);

#ifdef __cplusplus
}
#endif

#endif
