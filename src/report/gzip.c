// gzip.c -- gzip with stored blocks.
//
//   header | block ... block | CRC-32, length
//   block: 1 if it is the last, else 0 | length | ~length | data
//
// All numbers have their lowest byte first.

#include "report/gzip.h"

#define CRC_POLYNOMIAL 0xedb88320u

static void
put_number(pim_out *out, uint32_t n, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)(n >> 8 * i);
        pim_out_bytes(out, &byte, 1);
    }
}

static void
put_block(pim_gzip *gzip, bool is_last)
{
    put_number(gzip->out, is_last, 1);
    put_number(gzip->out, (uint32_t)gzip->used, 2);
    put_number(gzip->out, ~(uint32_t)gzip->used, 2);
    pim_out_bytes(gzip->out, gzip->block, gzip->used);
    gzip->used = 0;
}

void
pim_gzip_open(pim_gzip *gzip, pim_out *out)
{
    // Deflate; no flags, no time; of an unknown system.
    static const unsigned char header[10] = {0x1f, 0x8b, 8, [9] = 255};
    gzip->out = out;
    gzip->crc = UINT32_MAX;
    gzip->bytes = 0;
    gzip->used = 0;
    pim_out_bytes(out, header, sizeof(header));
}

void
pim_gzip_bytes(pim_gzip *gzip, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    gzip->bytes += (uint32_t)bytes;
    for (size_t i = 0; i < bytes; i++) {
        gzip->crc ^= from[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            gzip->crc =
                gzip->crc >> 1 ^ ((gzip->crc & 1) != 0 ? CRC_POLYNOMIAL : 0);
        }
        gzip->block[gzip->used++] = from[i];
        if (gzip->used == sizeof(gzip->block)) {
            put_block(gzip, false);
        }
    }
}

void
pim_gzip_close(pim_gzip *gzip)
{
    put_block(gzip, true);
    put_number(gzip->out, ~gzip->crc, 4);
    put_number(gzip->out, gzip->bytes, 4);
}
