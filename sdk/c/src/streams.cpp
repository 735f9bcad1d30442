// The file streams that Debian's libc++ for WebAssembly leaves out.
#include <fstream>

template class std::basic_filebuf<char>;
template class std::basic_ifstream<char>;
template class std::basic_ofstream<char>;
