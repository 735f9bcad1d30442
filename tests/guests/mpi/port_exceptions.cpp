// Exceptions as C++ programs use them. Given an argument, one that nobody catches.
#include "check.h"

#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Failure : std::runtime_error {
    using runtime_error::runtime_error;
};
struct First {
    int x = 11;
    virtual ~First() {}
};
struct Second {
    int y = 22;
    virtual ~Second() {}
};
struct Both : First, Second {};

static int destroyed;
struct Counts {
    ~Counts() { destroyed += 1; }
};

static int falls(int depth)
{
    Counts counts;
    if (depth == 0)
        throw Failure("deep");
    return falls(depth - 1) + 1;
}

// Whether it throws this type.
template <typename Type, typename Call> static bool throws(Call call)
{
    try {
        call();
    } catch (const Type &) {
        return true;
    }
    return false;
}

static void language()
{
    CHECK(throws<std::runtime_error>([] { falls(3); }) && destroyed == 4);
    CHECK(throws<Failure>([] {
        try {
            throw Failure("again");
        } catch (std::exception &) {
            throw;
        }
    }));
    try {
        throw Both();
    } catch (Second &second) {
        CHECK(second.y == 22);
    }
    try {
        static Both both;
        throw &both;
    } catch (Second *second) {
        CHECK(second->y == 22);
    }
    CHECK(throws<long>([] {
        try {
            throw 5L;
        } catch (int) {
        }
    }));
    std::exception_ptr kept;
    try {
        throw Failure("kept");
    } catch (...) {
        kept = std::current_exception();
    }
    CHECK(throws<Failure>([&] { std::rethrow_exception(kept); }));
    try {
        try {
            throw 1;
        } catch (int) {
            std::throw_with_nested(Failure("outer"));
        }
    } catch (Failure &outer) {
        CHECK(throws<int>([&] { std::rethrow_if_nested(outer); }));
    }
    for (int i = 0; i < 20000; i++)
        CHECK(throws<int>([=] { throw i; }));
    CHECK(std::uncaught_exceptions() == 0);
}

static void library()
{
    std::string text = "abc";
    CHECK(throws<std::out_of_range>([] { std::vector<int>(3).at(3) = 1; }));
    CHECK(throws<std::out_of_range>([&] { text.at(3) = 'x'; }));
    CHECK(throws<std::out_of_range>([&] { text = text.substr(9); }));
    CHECK(throws<std::out_of_range>([] { std::map<int, int>().at(1) = 2; }));
    CHECK(throws<std::invalid_argument>([&] { CHECK(std::stoi(text) == 0); }));
    CHECK(throws<std::out_of_range>([] { CHECK(std::stoi("99999999999") == 0); }));
    CHECK(std::stod("2.5") == 2.5 && std::stoull("18446744073709551615") == ~0ULL);
    CHECK(throws<std::length_error>([] { std::vector<char>().reserve(~size_t{0}); }));
    CHECK(throws<std::bad_alloc>([] { ::operator delete(::operator new(4290000000)); }));
    CHECK(throws<std::bad_function_call>([] { std::function<void()>()(); }));
    First first;
    First *plain = &first;
    CHECK(throws<std::bad_cast>([=] { CHECK(dynamic_cast<Both &>(*plain).y == 0); }));
    std::map<MPI_Comm, int> ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &ranks[MPI_COMM_WORLD]);
    std::ostringstream line;
    line << "rank " << ranks.at(MPI_COMM_WORLD) << std::endl;
    std::cout << line.str();
}

static void files()
{
    std::ofstream("squares.txt") << "3 9" << std::endl;
    std::ofstream("squares.txt", std::ios::app) << "4 16\n";
    std::ifstream in("squares.txt");
    int number = 0, square = 0, lines = 0;
    for (; in >> number >> square; lines++)
        CHECK(square == number * number);
    CHECK(lines == 2 && in.eof() && !std::ifstream("nothing.txt"));
    std::fstream both("squares.txt", std::ios::in | std::ios::out | std::ios::binary);
    both.seekp(2).put('7');
    both.seekg(0);
    std::string line;
    CHECK(std::getline(both, line) && line == "3 7");
}

int main(int argc, char **)
{
    if (argc > 1)
        throw Failure("nobody catches this");
    MPI_Init(nullptr, nullptr);
    language();
    library();
    files();
    MPI_Finalize();
    return 0;
}
