/* See docs_page.h. Every text of the schema is escaped: comments are prose that
 * somebody else wrote. */
#include "gateway/docs_page.h"

#include <ctype.h>

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>Methods</title>\n<link rel=\"stylesheet\" href=\"" DOCS_PAGE_STYLE "\">\n"
	"<link rel=\"icon\" href=\"data:,\">\n</head>\n<body>\n"
	"<header><h1>Methods</h1>\n"
	"<p>As this gateway serves them now. "
	"<a href=\"../openapi.json\">openapi.json</a> describes their messages.</p></header>\n";

static const char style[] =
	":root{color-scheme:light dark;--line:#8884;--soft:#8882;--faint:#777}\n"
	"body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem}\n"
	"h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2.5rem 0 .5rem}\n"
	"h3{font-size:1rem;font-weight:normal;margin:0}\n"
	"code{font:.95em ui-monospace,monospace;overflow-wrap:anywhere}\n"
	"p{margin:.3rem 0;white-space:pre-line}header p,.none{color:var(--faint)}\n"
	"article{border:1px solid var(--line);border-radius:.4rem;padding:.7rem 1rem;margin:.6rem 0}\n"
	"article:target{border-color:#1a73e8}\n"
	".verb{display:inline-block;min-width:4.2rem;margin-right:.6rem;padding:.05rem .4rem;"
	"border-radius:.25rem;text-align:center;font-weight:bold;color:#fff;background:#555}\n"
	".get{background:#1763b8}.post{background:#1d7a46}.put,.patch{background:#9a5b00}"
	".delete{background:#b3261e}\n"
	".about{color:var(--faint);font-size:.9rem}.about span{margin-left:.5rem;padding:0 .4rem;"
	"border-radius:.25rem;background:var(--soft)}\n"
	".deprecated h3{text-decoration:line-through}\n";

void docs_page_style(struct buf *b)
{
	buf_append_str(b, style);
}

/* --- text --- */

static void put_text(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		switch (*s) {
		case '&': buf_append_str(b, "&amp;"); break;
		case '<': buf_append_str(b, "&lt;"); break;
		case '>': buf_append_str(b, "&gt;"); break;
		case '"': buf_append_str(b, "&quot;"); break;
		case '\'': buf_append_str(b, "&#39;"); break;
		default: buf_append_byte(b, (uint8_t)*s);
		}
	}
}

static void put_comment(struct buf *b, const char *comment)
{
	if (comment == NULL)
		return;
	while (isspace((unsigned char)*comment))
		comment++;
	buf_append_str(b, "<p>");
	put_text(b, comment);
	buf_append_str(b, "</p>\n");
}

/* --- methods --- */

static void put_route(struct buf *b, const char *verb, const char *slash, const char *path)
{
	buf_append_str(b, "<h3><code class=\"verb ");
	for (const char *c = verb; *c != '\0'; c++)
		if (isalpha((unsigned char)*c))
			buf_append_byte(b, (uint8_t)tolower((unsigned char)*c));
	buf_append_str(b, "\">");
	put_text(b, verb);
	buf_append_str(b, "</code> <code>");
	buf_append_str(b, slash);
	put_text(b, path);
	buf_append_str(b, "</code></h3>\n");
}

static void put_mark(struct buf *b, bool on, const char *text)
{
	if (on)
		buf_printf(b, " <span>%s</span>", text);
}

static void put_method(struct buf *b, const struct schema_method *m)
{
	buf_append_str(b, m->deprecated ? "<article class=\"deprecated\" id=\"" : "<article id=\"");
	put_text(b, m->full_name);
	buf_append_str(b, "\">\n");
	for (size_t i = 0; i < m->n_http; i++)
		put_route(b, m->http[i].verb, "", m->http[i].path);
	if (m->n_http == 0)
		put_route(b, "POST", "/", m->full_name);
	put_comment(b, m->comment);
	buf_append_str(b, "<p class=\"about\"><code>");
	put_text(b, m->name);
	buf_append_str(b, "(");
	put_text(b, m->input->name);
	buf_append_str(b, ") → ");
	put_text(b, m->output->name);
	buf_append_str(b, "</code>");
	put_mark(b, m->run == RUN_TASK, "task");
	put_mark(b, m->server_streaming, "stream");
	put_mark(b, m->client_streaming, "not over HTTP: takes a stream");
	put_mark(b, m->deprecated, "deprecated");
	buf_append_str(b, "</p>\n</article>\n");
}

static void put_service(struct buf *b, const struct schema_service *s)
{
	buf_append_str(b, "<section>\n<h2>");
	put_text(b, s->name);
	buf_append_str(b, "</h2>\n");
	put_comment(b, s->comment);
	for (size_t i = 0; i < s->n_methods; i++)
		put_method(b, &s->methods[i]);
	if (s->n_methods == 0)
		buf_append_str(b, "<p class=\"none\">It has no methods.</p>\n");
	buf_append_str(b, "</section>\n");
}

/* errand's own come last. */
static bool is_own(const struct schema_service *s)
{
	return strncmp(s->name, "errand.v1.", strlen("errand.v1.")) == 0;
}

void docs_page_write(struct buf *b, const struct schema *s)
{
	buf_append_str(b, head);
	if (s == NULL)
		buf_append_str(b, "<p class=\"none\">The service is not there: try again soon.</p>\n");
	for (int own = 0; s != NULL && own < 2; own++)
		for (size_t i = 0; i < schema_n_services(s); i++)
			if (is_own(schema_service_at(s, i)) == (own != 0))
				put_service(b, schema_service_at(s, i));
	buf_append_str(b, "</body>\n</html>\n");
}
