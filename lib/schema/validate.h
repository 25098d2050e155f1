/* validate.h: do wire bytes keep the rules of their schema (rules.h)? All violations
 * at once, each with its place and rule id. Pure; any thread; no allocation while
 * there is nothing to complain of. Messages without has_rules cost nothing. */
#ifndef SCHEMA_VALIDATE_H
#define SCHEMA_VALIDATE_H

#include "schema/fault.h"
#include "schema/route.h"

/* 0, or -ERRAND_INVALID_ARGUMENT with FAULT_SCHEMA faults: rule is the rule's id
 * ("string.min_len", "required"), where a JSON pointer ("#/note/title",
 * "#/labels/key", "#/items/3"; names as output shows them).
 *
 * origin: the route the message came by, or NULL. With it a fault of a field that
 * path or query gave is named as that parameter ("note.title"), and with
 * `body: "field"` pointers begin inside that field, as the client's body does.
 *
 * wire has passed the transcoder or scan_message: what is malformed is not judged. */
int validate_message(const struct schema_message *m, struct bytes wire, const struct route *origin,
		     struct fault_list *faults);

#endif
