/* SPDX-License-Identifier: MIT */
/*
 * Rates and amounts as people write them: rates come out as they can be given again,
 * amounts are rounded.
 *
 * Context: command line.
 */
#ifndef TOOLS_RATE_TEXT_H
#define TOOLS_RATE_TEXT_H

#include <stdint.h>

#define RATE_TEXT_BYTES 32

/* Exact: 524288 is 512K, 10000 ns are 10us. */
void rate_text_bytes(uint64_t bytes, char out_text[RATE_TEXT_BYTES]);
void rate_text_ns(uint64_t ns, char out_text[RATE_TEXT_BYTES]);

/* Rounded to three digits or so: 1.23G, 45.6ms, 7.89M. */
void amount_text_bytes(uint64_t bytes, char out_text[RATE_TEXT_BYTES]);
void amount_text_ns(uint64_t ns, char out_text[RATE_TEXT_BYTES]);
void amount_text_count(uint64_t count, char out_text[RATE_TEXT_BYTES]);

#endif
