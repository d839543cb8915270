// frame_layout.h -- where the fields of frames and code objects lie.

#ifndef PIM_HOOKS_FRAME_LAYOUT_H
#define PIM_HOOKS_FRAME_LAYOUT_H

#include "cpython/symbols.h"

// Bounds of the offsets in a frame and in a code object.
#define PIM_FRAME_BYTES_MAX 256
#define PIM_CODE_BYTES_MAX 512

// All in bytes.
typedef struct pim_frame_layout {
    uint16_t newest;   // in a thread state: the newest frame
    bool is_two_steps; // 3.12: there is a pointer to the frame's pointer

    // In a frame.
    uint16_t code; // its low bits are tags
    uint16_t previous;
    uint16_t instr;
    uint16_t owner; // one byte

    // In a code object.
    uint16_t file;
    uint16_t function; // the qualified name
    uint16_t line_table;
    uint16_t first_line;      // int
    uint16_t first_traceable; // int; code units before it start the frame
    uint16_t bytecode;        // code units, to the end
} pim_frame_layout;

// Fills *out in for this CPython.  NULL, or why it cannot.
const char *pim_frame_layout_find(const pim_py_api *py, pim_frame_layout *out);

#endif // PIM_HOOKS_FRAME_LAYOUT_H
