/* SPDX-License-Identifier: MIT */
/*
 * Context: collector; see trace.h.
 */
#include "trace.h"

#include "trace_go.h"
#include "trace_perfetto.h"

int trace_encode(const struct trace_input *input, enum trace_format format, void **out_bytes,
		 size_t *out_byte_count)
{
	struct trace_model model;
	struct trace_symbols symbols;
	struct byte_buffer bytes = {0};
	int error = trace_model_build(input, &model);
	trace_symbols_init(&symbols, input);
	if (!error && format == TRACE_PERFETTO)
		error = trace_perfetto_write(&model, &symbols, &bytes);
	else if (!error)
		error = trace_go_write(&model, &symbols, &bytes);
	trace_symbols_fini(&symbols);
	trace_model_free(&model);
	if (error)
		return error;
	*out_bytes = bytes.bytes;
	*out_byte_count = bytes.size;
	return 0;
}
