/* SPDX-License-Identifier: MIT */
/*
 * Context: collector; see trace.h.
 */
#include "trace.h"

#include <errno.h>

#include "byte_buffer.h"
#include "trace_go.h"
#include "trace_perfetto.h"

int trace_encode_model(const struct trace_model *model, enum trace_format format,
		       const struct trace_sink *sink)
{
	struct trace_symbols symbols;
	trace_symbols_init(&symbols, model->input);
	int error = format == TRACE_PERFETTO ? trace_perfetto_write(model, &symbols, sink)
					     : trace_go_write(model, &symbols, sink);
	trace_symbols_fini(&symbols);
	return error;
}

static int put_into_buffer(void *context, const void *bytes, size_t size)
{
	struct byte_buffer *buffer = context;
	byte_buffer_add(buffer, bytes, size);
	return buffer->is_failed ? -ENOMEM : 0;
}

int trace_encode_bytes(const struct trace_model *model, enum trace_format format, void **out_bytes,
		       size_t *out_byte_count)
{
	struct byte_buffer bytes = {0};
	const struct trace_sink sink = {put_into_buffer, &bytes};
	int error = trace_encode_model(model, format, &sink);
	if (error) {
		byte_buffer_free(&bytes);
		return error;
	}
	*out_bytes = bytes.bytes;
	*out_byte_count = bytes.size;
	return 0;
}

int trace_encode(const struct trace_input *input, enum trace_format format, void **out_bytes,
		 size_t *out_byte_count)
{
	struct trace_model model;
	int error = trace_model_build(input, &model);
	if (!error)
		error = trace_encode_bytes(&model, format, out_bytes, out_byte_count);
	trace_model_free(&model);
	return error;
}
