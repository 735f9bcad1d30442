// std::stoi and its kin, and std::string's at: those of the toolchain's library end the program
// where they are to throw. The linker is told to take these instead.
#include <cerrno>
#include <stdexcept>
#include <stdlib.h>
#include <string>

#define STRING "NS_12basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE"
#define INSTEAD_OF(name) __asm__("__wrap__ZNSt3__2" name)
#define INTEGER(name) INSTEAD_OF("4" name "ERK" STRING "EPmi")
#define LONG_LONG(name) INSTEAD_OF("5" name "ERK" STRING "EPmi")
#define REAL(name) INSTEAD_OF("4" name "ERK" STRING "EPm")

namespace faasm {

int stoi(const std::string &, size_t *, int) INTEGER("stoi");
long stol(const std::string &, size_t *, int) INTEGER("stol");
unsigned long stoul(const std::string &, size_t *, int) LONG_LONG("stoul");
long long stoll(const std::string &, size_t *, int) LONG_LONG("stoll");
unsigned long long stoull(const std::string &, size_t *, int) INSTEAD_OF("6stoullERK" STRING "EPmi");
float stof(const std::string &, size_t *) REAL("stof");
double stod(const std::string &, size_t *) REAL("stod");
long double stold(const std::string &, size_t *) INSTEAD_OF("5stoldERK" STRING "EPm");
char &at(std::string *, size_t)
    __asm__("__wrap__ZNSt3__212basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE2atEm");
const char &at(const std::string *, size_t)
    __asm__("__wrap__ZNKSt3__212basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE2atEm");

namespace {

// Calls one of strtol's kin: `read` gets the text and where to put the end of what it read.
template <typename Read>
auto convert(const char *name, const std::string &text, size_t *length, Read read)
{
    int before = errno;
    errno = 0;
    const char *begin = text.c_str();
    char *end = nullptr;
    auto value = read(begin, &end);
    bool outside = errno == ERANGE;
    errno = before;
    if (outside)
        throw std::out_of_range(std::string(name) + ": out of range");
    if (end == begin)
        throw std::invalid_argument(std::string(name) + ": no conversion");
    if (length != nullptr)
        *length = static_cast<size_t>(end - begin);
    return value;
}

size_t within(const std::string &text, size_t index)
{
    if (index >= text.size())
        throw std::out_of_range("basic_string");
    return index;
}

}

long stol(const std::string &text, size_t *length, int base)
{
    return convert("stol", text, length, [=](auto at, auto end) { return strtol(at, end, base); });
}

// int and long are of the same size here.
int stoi(const std::string &text, size_t *length, int base)
{
    return convert("stoi", text, length, [=](auto at, auto end) { return strtol(at, end, base); });
}

unsigned long stoul(const std::string &text, size_t *length, int base)
{
    return convert("stoul", text, length, [=](auto at, auto end) { return strtoul(at, end, base); });
}

long long stoll(const std::string &text, size_t *length, int base)
{
    return convert("stoll", text, length, [=](auto at, auto end) { return strtoll(at, end, base); });
}

unsigned long long stoull(const std::string &text, size_t *length, int base)
{
    auto read = [=](auto at, auto end) { return strtoull(at, end, base); };
    return convert("stoull", text, length, read);
}

float stof(const std::string &text, size_t *length)
{
    return convert("stof", text, length, [](auto at, auto end) { return strtof(at, end); });
}

double stod(const std::string &text, size_t *length)
{
    return convert("stod", text, length, [](auto at, auto end) { return strtod(at, end); });
}

long double stold(const std::string &text, size_t *length)
{
    return convert("stold", text, length, [](auto at, auto end) { return strtold(at, end); });
}

char &at(std::string *text, size_t index) { return (*text)[within(*text, index)]; }

const char &at(const std::string *text, size_t index) { return (*text)[within(*text, index)]; }

}
