/* body.h: an HTTP body as wire bytes of the method's input, or of the field it is
 * bound to. A table has one function for each form (media.h). Pure. */
#ifndef GATEWAY_BODY_H
#define GATEWAY_BODY_H

#include "gateway/request.h"

/* Appends to out. form: what Content-Type says; the route's raw body
 * (google.api.HttpBody) does not ask. */
enum request_refusal body_to_wire(enum media_body form, const struct request_source *src,
				  const struct route *r, const struct schema *schema, struct buf *out,
				  struct fault_list *faults);

#endif
