// Whole files.
#ifndef FAASM_FAASM_FILES_H
#define FAASM_FAASM_FILES_H

#ifdef __cplusplus

#include <cstdio>
#include <sys/stat.h>

namespace faasm {

// In bytes, or -1 when there is no such file.
inline long getFileLength(const char* path)
{
    struct stat about{};
    return stat(path, &about) == 0 ? static_cast<long>(about.st_size) : -1;
}

// The file and a NUL, to be deleted with delete[]; nullptr when it cannot be read.
inline char* readFileToString(const char* path)
{
    const long length = getFileLength(path);
    FILE* file = length < 0 ? nullptr : std::fopen(path, "rb");
    if (file == nullptr) {
        return nullptr;
    }
    char* text = new char[static_cast<size_t>(length) + 1];
    const size_t count = std::fread(text, 1, static_cast<size_t>(length), file);
    std::fclose(file);
    text[count] = '\0';
    return text;
}

} // namespace faasm

#endif

#endif
