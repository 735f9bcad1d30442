// faasm/core.h: state.
#include <faasm/core.h>
#include <faasm/host_interface.h>

#include <stdio.h>
#include <stdlib.h>

size_t faasmReadStateSize(const char* key)
{
    return (size_t)__faasm_read_state(key, NULL, 0);
}

long faasmReadState(const char* key, unsigned char* buffer, long bufferLen)
{
    return __faasm_read_state(key, buffer, bufferLen);
}

void faasmReadAppendedState(const char* key, uint8_t* buffer, long bufferLen, long nElems)
{
    __faasm_read_appended_state(key, buffer, bufferLen, nElems);
}

uint8_t* faasmReadStatePtr(const char* key, long totalLen)
{
    return __faasm_read_state_ptr(key, totalLen);
}

void faasmReadStateOffset(const char* key, long totalLen, long offset, uint8_t* buffer,
                          long bufferLen)
{
    __faasm_read_state_offset(key, totalLen, offset, buffer, bufferLen);
}

uint8_t* faasmReadStateOffsetPtr(const char* key, long fullLen, long offset, long len)
{
    return __faasm_read_state_offset_ptr(key, fullLen, offset, len);
}

void faasmWriteState(const char* key, const uint8_t* data, long dataLen)
{
    __faasm_write_state(key, data, dataLen);
}

void faasmAppendState(const char* key, const uint8_t* data, long dataLen)
{
    __faasm_append_state(key, data, dataLen);
}

void faasmClearAppendedState(const char* key)
{
    __faasm_clear_appended_state(key);
}

void faasmWriteStateOffset(const char* key, long totalLen, long offset, const uint8_t* data,
                           long dataLen)
{
    __faasm_write_state_offset(key, totalLen, offset, data, dataLen);
}

// A file that cannot be read is the host's to tell of: it ends the call.
unsigned long faasmWriteStateFromFile(const char* key, const char* filePath)
{
    FILE* file = fopen(filePath, "rb");
    if (!file)
        return __faasm_write_state_from_file(key, filePath);
    uint8_t* bytes = NULL;
    size_t room = 0, len = 0, got = 1;
    while (got > 0) {
        if (len == room) {
            room = room ? 2 * room : 65536;
            uint8_t* more = realloc(bytes, room);
            if (!more)
                abort();
            bytes = more;
        }
        got = fread(bytes + len, 1, room - len, file);
        len += got;
    }
    const int bad = ferror(file);
    fclose(file);
    if (bad) {
        free(bytes);
        return __faasm_write_state_from_file(key, filePath);
    }
    faasmWriteState(key, bytes, (long)len);
    free(bytes);
    return len;
}

void faasmFlagStateDirty(const char* key, long totalLen)
{
    __faasm_flag_state_dirty(key, totalLen);
}

void faasmFlagStateOffsetDirty(const char* key, long totalLen, long offset, long len)
{
    __faasm_flag_state_offset_dirty(key, totalLen, offset, len);
}

void faasmPushState(const char* key)
{
    __faasm_push_state(key);
}

void faasmPushStatePartial(const char* key)
{
    __faasm_push_state_partial(key);
}

void faasmPushStatePartialMask(const char* key, const char* maskKey)
{
    __faasm_push_state_partial_mask(key, maskKey);
}

void faasmPullState(const char* key, long stateLen)
{
    __faasm_pull_state(key, stateLen);
}

void faasmLockStateRead(const char* key)
{
    __faasm_lock_state_read(key);
}

void faasmUnlockStateRead(const char* key)
{
    __faasm_unlock_state_read(key);
}

void faasmLockStateWrite(const char* key)
{
    __faasm_lock_state_write(key);
}

void faasmUnlockStateWrite(const char* key)
{
    __faasm_unlock_state_write(key);
}
