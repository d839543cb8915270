// gzip.h -- gzip with stored blocks (RFC 1951 and 1952): what asks for gzip gets
// it, and nothing is compressed.

#ifndef PIM_REPORT_GZIP_H
#define PIM_REPORT_GZIP_H

#include "platform/out.h"

typedef struct pim_gzip {
    pim_out *out;
    uint32_t crc;   // inverted, as it is computed
    uint32_t bytes; // modulo 2^32
    size_t used;
    unsigned char block[4096];
} pim_gzip;

void pim_gzip_open(pim_gzip *gzip, pim_out *out);
void pim_gzip_bytes(pim_gzip *gzip, const void *data, size_t bytes);
void pim_gzip_close(pim_gzip *gzip);

#endif // PIM_REPORT_GZIP_H
