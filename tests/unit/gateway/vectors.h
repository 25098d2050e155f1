/* vectors.h: raw requests and what must become of them: for the gate alone
 * (test_guard) and for the gate with evhttp behind it (test_http). */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <stddef.h>

#define H "Host: a\r\n"
#define NEXT "GET /n HTTP/1.1\r\n" H "\r\n"
#define SMUGGLED "GET /SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET(headers) "GET / HTTP/1.1\r\n" headers "\r\n"
#define POST(headers, body) "POST / HTTP/1.1\r\n" H headers "\r\n" body
#define TARGET(target) "GET " target " HTTP/1.1\r\n" H "\r\n"
#define LINE(line) line "\r\n" H "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

/* status 0: fine, with n requests complete; else refused after n complete ones. */
static const struct vector {
	int status;
	unsigned n;
	const char *raw;
	size_t len;
} vectors[] = {
#define V(status, n, raw) {status, n, raw, sizeof(raw) - 1}
	/* plain good ones */
	V(0, 1, GET(H)), V(0, 1, LINE("HEAD / HTTP/1.1")), V(0, 1, LINE("DELETE /x HTTP/1.1")),
	V(0, 1, LINE("OPTIONS / HTTP/1.1")), V(0, 1, LINE("OPTIONS * HTTP/1.1")),
	V(0, 1, LINE("PUT /x HTTP/1.1")), V(0, 1, LINE("PATCH /x HTTP/1.1")),
	V(0, 1, LINE("POST /x HTTP/1.1")), V(0, 1, "GET / HTTP/1.0\r\n\r\n"),
	V(0, 1, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"), V(0, 2, NEXT NEXT), V(0, 3, NEXT NEXT NEXT),
	V(0, 0, "GET / HTTP/1.1\r\nHost: a\r\n"), V(0, 0, ""), V(0, 0, "G"),
	/* empty lines between requests: one */
	V(0, 1, "\r\n" NEXT), V(0, 2, NEXT "\r\n" NEXT), V(0, 2, "\r\n" NEXT "\r\n" NEXT),
	V(400, 0, "\r\n\r\n" NEXT), V(400, 0, "\n" NEXT), V(400, 0, "\r" NEXT), V(400, 0, "\r\r\n" NEXT),
	V(400, 1, NEXT "\r\n\r\n" NEXT), V(400, 0, " " NEXT), V(400, 0, "\t" NEXT),
	/* request line */
	V(400, 0, "GET /\r\n\r\n"), V(400, 0, "GET\r\n\r\n"), V(400, 0, "GET / \r\n\r\n"),
	V(400, 0, LINE("GET  / HTTP/1.1")), V(400, 0, LINE("GET / HTTP/1.1 ")),
	V(400, 0, LINE("GET /  HTTP/1.1")), V(400, 0, LINE("GET\t/ HTTP/1.1")),
	V(400, 0, LINE("GET /\tHTTP/1.1")), V(400, 0, LINE(" GET / HTTP/1.1")),
	V(400, 0, "GET / HTTP/1.1\nHost: a\n\n"), V(400, 0, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
	V(400, 0, "GET / HTTP/1.1\rHost: a\r\r"), V(400, 0, LINE("GE\0T / HTTP/1.1")),
	V(400, 0, LINE("G\x80T / HTTP/1.1")), V(400, 0, LINE("(GET) / HTTP/1.1")),
	V(400, 0, LINE("GET: / HTTP/1.1")), V(400, 0, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	V(400, 0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), V(400, 0, "\0"), V(400, 0, "{\"a\":1}\r\n"),
	/* methods */
	V(405, 0, LINE("TRACE / HTTP/1.1")), V(405, 0, LINE("CONNECT a:443 HTTP/1.1")),
	V(405, 0, "TRACE / HTTP/1.1\r\n" H "Content-Length: 37\r\n\r\n"),
	/* which of the others there are the routes say; evhttp is shown POST (test_verbs.py) */
	V(0, 1, LINE("get / HTTP/1.1")), V(0, 1, LINE("Post / HTTP/1.1")),
	V(0, 1, LINE("BREW / HTTP/1.1")), V(0, 1, LINE("GETT / HTTP/1.1")),
	V(0, 1, LINE("G / HTTP/1.1")), V(0, 1, LINE("PROPFIND / HTTP/1.1")),
	V(0, 1, LINE("GET! / HTTP/1.1")), V(0, 2, LINE("LOCK / HTTP/1.1") NEXT),
	V(0, 2, "LOCK / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc" NEXT),
	V(0, 2, "LOCK / HTTP/1.1\r\n" H CHUNKED "\r\n1\r\na\r\n0\r\n\r\n" NEXT),
	V(400, 0, LINE("LOCK * HTTP/1.1")), V(400, 0, LINE("LOCK  / HTTP/1.1")),
	V(0, 1, LINE("AAAAAAAAAAAAAAAAAAAA / HTTP/1.1")),
	V(501, 0, LINE("AAAAAAAAAAAAAAAAAAAAA / HTTP/1.1")),
	V(501, 0, LINE("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1")),
	/* targets */
	V(0, 1, TARGET("/a/b?c=d&e=%20f")), V(0, 1, TARGET("/?")), V(0, 1, TARGET("/??a=/?")),
	V(0, 1, TARGET("/v1/tasks/x:cancel")), V(0, 1, TARGET("/a;b=c,d@e!$&'()*+")),
	V(0, 1, TARGET("/%00")), V(0, 1, TARGET("/%2e%2e%2f")), V(0, 1, TARGET("/a//b")),
	V(0, 1, TARGET("/a?b={c}|d")), V(0, 1, TARGET("/a?q=x>1")), V(0, 1, TARGET("/a|b[c]")),
	V(0, 1, TARGET("/~a/../b")), V(400, 0, TARGET("//evil/x")), V(400, 0, TARGET("//")),
	V(400, 0, TARGET("//[::/")), V(400, 0, TARGET("*")), V(400, 0, LINE("OPTIONS ** HTTP/1.1")),
	V(400, 0, LINE("OPTIONS */ HTTP/1.1")), V(400, 0, TARGET("a")), V(400, 0, TARGET("?a")),
	V(0, 1, TARGET("http://other/")), V(0, 1, TARGET("http://a/")),
	V(421, 0, TARGET("https://a/x")), V(0, 1, TARGET("HTTP://a")), V(0, 1, TARGET("http://a?b")),
	V(0, 1, TARGET("http://a:80/x?y")), V(0, 1, TARGET("http://[::1]:8080/")), V(0, 1, TARGET("http://a//b")),
	V(0, 1, LINE("OPTIONS http://a HTTP/1.1")), V(0, 1, LINE("POST http://a/b HTTP/1.1")),
	V(400, 0, TARGET("http:///x")), V(400, 0, TARGET("http://:80/x")), V(400, 0, TARGET("http://u@a/")),
	V(400, 0, TARGET("http://a:x/")), V(400, 0, TARGET("http://a:65536/")), V(400, 0, TARGET("http://[a]/")),
	V(400, 0, TARGET("http://[::1")), V(400, 0, TARGET("http://a#b")), V(400, 0, TARGET("http://a\\b")),
	V(400, 0, TARGET("http:/a/")), V(400, 0, TARGET("http:a")), V(400, 0, TARGET("httpx://a/")),
	V(400, 0, TARGET("ftp://a/x")), V(400, 0, TARGET("http://a%zz/")), V(400, 0, TARGET("http://\xff/")),
	V(400, 0, "GET http://a/ HTTP/1.1\r\n\r\n"), V(0, 1, "GET http://a/ HTTP/1.0\r\n\r\n"),
	V(0, 2, TARGET("http://a/") NEXT), V(400, 0, TARGET("file:///etc/passwd")),
	V(400, 0, TARGET("a:80")), V(400, 0, TARGET("/a#b")), V(400, 0, TARGET("/a?b#c")),
	V(400, 0, TARGET("#")), V(400, 0, TARGET("/a b")), V(400, 0, TARGET("/a?b c")),
	V(400, 0, TARGET("/a\\b")), V(400, 0, TARGET("/<a>")), V(400, 0, TARGET("/\"a\"")),
	V(400, 0, TARGET("/{a}")), V(400, 0, TARGET("/^")), V(400, 0, TARGET("/`")),
	V(400, 0, TARGET("/\x7f")), V(400, 0, TARGET("/\x80")), V(400, 0, TARGET("/\xff")),
	V(400, 0, TARGET("/\xc3\xa9")), V(400, 0, TARGET("/?\xc3\xa9")), V(400, 0, TARGET("/\0")),
	V(400, 0, TARGET("/?\0")), V(400, 0, TARGET("/\x01")), V(400, 0, TARGET("/a\x0b")),
	V(400, 0, TARGET("/?a\x7f")), V(400, 0, TARGET("/\r")), V(400, 0, TARGET("/\n")),
	/* versions */
	V(0, 1, LINE("GET / HTTP/1.2")), V(505, 0, LINE("GET / HTTP/2.0")),
	V(505, 0, LINE("GET / HTTP/0.9")), V(505, 0, LINE("GET / HTTP/9.9")),
	V(400, 0, LINE("GET / HTTP/1.10")), V(400, 0, LINE("GET / HTTP/1.999")),
	V(400, 0, LINE("GET / HTTP/+1.+1")), V(400, 0, LINE("GET / HTTP/01.1")),
	V(400, 0, LINE("GET / http/1.1")), V(400, 0, LINE("GET / HTTP/1.")),
	V(400, 0, LINE("GET / HTTP/1")), V(400, 0, LINE("GET / HTTP/1,1")),
	V(400, 0, LINE("GET / HTTP/")), V(400, 0, LINE("GET / XTTP/1.1")), V(400, 0, LINE("GET / HTTP 1.1")),
	V(400, 0, LINE("GET / HTTP/1.1\x80")), V(400, 0, LINE("GET / HTTP/1.1x")),
	/* header lines */
	V(0, 1, GET(H "A:b\r\n")), V(0, 1, GET(H "A:\r\n")), V(0, 1, GET(H "A: \t b \t \r\n")),
	V(0, 1, GET(H "X-A_b!#$%&'*+.^`|~9: c\r\n")), V(0, 1, GET(H "A: \x80\xff\r\n")),
	V(0, 1, GET(H "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n")),
	V(0, 1, GET("HOST:a:80\r\n")), V(0, 1, GET("hOsT:   a   \r\n")), V(0, 1, GET("Host:\r\n")),
	V(0, 1, GET("Host: [::1]:8080\r\n")), V(400, 0, GET(H "A : b\r\n")),
	V(400, 0, GET(H "A\t: b\r\n")), V(400, 0, GET(H ": b\r\n")), V(400, 0, GET(H "A\r\n")),
	V(400, 0, GET(H "A b: c\r\n")), V(400, 0, GET(H "A(b): c\r\n")), V(400, 0, GET(H "A\x80: c\r\n")),
	V(400, 0, GET(H "A\0: c\r\n")), V(400, 0, GET(H "A: b\0c\r\n")), V(400, 0, GET(H "A: b\x01\r\n")),
	V(400, 0, GET(H "A: b\x7f\r\n")), V(400, 0, GET(H "A: b\x1b[0m\r\n")), V(400, 0, GET(H "A: b\nB: c\r\n")),
	V(400, 0, GET(H "A: b\rB: c\r\n")), V(400, 0, GET(H "A: b\r\r\n")), V(400, 0, GET(H "A: b\r\n c\r\n")),
	V(400, 0, GET(H "A: b\r\n\tc\r\n")), V(400, 0, GET(" A: b\r\n" H)), V(400, 0, GET("\tA: b\r\n" H)),
	V(400, 0, "GET / HTTP/1.1\r\n" H "\rX"), V(400, 0, GET(H "\x00" "A: b\r\n")),
	/* Host */
	V(400, 0, GET("")), V(400, 0, GET("A: b\r\n")), V(400, 0, GET(H H)), V(400, 0, GET(H "host: b\r\n")),
	V(400, 0, GET("Host: a, b\r\n")), V(400, 0, GET("Host: a b\r\n")), V(400, 0, GET("Host: a/b\r\n")),
	V(400, 0, GET("Host: a@b\r\n")), V(400, 0, GET("Host: a?b\r\n")), V(400, 0, GET("Host: a#b\r\n")),
	V(400, 0, GET("Host: a\\b\r\n")), V(400, 0, GET("Host: \xff\r\n")), V(0, 1, GET("Host:\ta\r\n")), V(0, 1, GET("Host: \t a \t\r\n")), V(400, 0, GET("Host: a\tb\r\n")),
	V(0, 1, GET("Host: a:\r\n")), V(0, 1, GET("Host: a%20b:65535\r\n")), V(400, 0, GET("Host: a:65536\r\n")),
	V(400, 0, GET("Host: a:80x\r\n")), V(400, 0, GET("Host: a:b:c\r\n")), V(400, 0, GET("Host: a:-1\r\n")),
	V(400, 0, GET("Host: [::1\r\n")), V(400, 0, GET("Host: [::1]x\r\n")), V(400, 0, GET("Host: []\r\n")),
	V(400, 0, GET("Host: ::1\r\n")), V(400, 0, GET("Host: a]\r\n")), V(400, 0, GET("Host: a%2\r\n")),
	V(400, 0, GET("Host: a%\r\n")), V(400, 0, GET("Host: [1.2.3.4]\r\n")), V(400, 0, GET("Host: http://a\r\n")),
	V(0, 1, GET(H "A:\t\tb\t\r\n")), V(0, 1, GET(H "A: \t\r\n")),
	V(400, 0, "GET / HTTP/1.0\r\n" H H "\r\n"), V(400, 0, GET("Hos: a\r\n")),
	V(400, 0, GET("Hostx: a\r\n")), V(400, 0, GET("X-Host: a\r\n")), V(400, 0, GET("Host : a\r\n")),
	V(400, 0, GET("Host;: a\r\n")), V(400, 0, GET("Host\0: a\r\n")),
	/* Content-Length */
	V(0, 1, POST("Content-Length: 0\r\n", "")), V(0, 1, POST("Content-Length: 5\r\n", "abcde")),
	V(0, 2, POST("content-length:5  \r\n", "abcde") NEXT), V(0, 1, POST("Content-Length: 005\r\n", "abcde")),
	V(0, 1, POST("Content-Length: 3\r\n", "\0\r\n")), V(0, 1, POST("", "")), V(0, 2, POST("", "") NEXT),
	V(0, 2, "GET / HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbody" NEXT),
	V(0, 2, "DELETE / HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbody" NEXT),
	V(0, 1, "GET / HTTP/1.1\r\n" H "Content-Length: 35\r\n\r\n" "GET /SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n"),
	V(0, 1, POST("Content-Length: 35\r\n", "GET /SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n")),
	V(0, 1, "HEAD / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"),
	V(400, 0, "HEAD / HTTP/1.1\r\n" H "Content-Length: 36\r\n\r\n"),
	V(400, 0, "HEAD / HTTP/1.1\r\n" H CHUNKED "\r\n"),
	V(400, 0, POST("Content-Length: 5\r\nContent-Length: 5\r\n", "abcde")),
	V(400, 0, POST("Content-Length: 0\r\nContent-Length: 31\r\n", "")),
	V(400, 0, POST("Content-Length: 31\r\nContent-Length: 0\r\n", "")),
	V(400, 0, POST("Content-Length: 5, 5\r\n", "abcde")), V(400, 0, POST("Content-Length: 5,6\r\n", "abcde")),
	V(400, 0, POST("Content-Length: +5\r\n", "abcde")), V(400, 0, POST("Content-Length: -5\r\n", "abcde")),
	V(400, 0, POST("Content-Length: 0x5\r\n", "abcde")), V(400, 0, POST("Content-Length: 5.0\r\n", "abcde")),
	V(400, 0, POST("Content-Length: 5e0\r\n", "abcde")), V(400, 0, POST("Content-Length:\r\n", "")),
	V(400, 0, POST("Content-Length: \r\n", "")), V(400, 0, POST("Content-Length: 5 5\r\n", "abcde")),
	V(0, 1, POST("Content-Length:\t5\t\r\n", "abcde")), V(0, 2, POST("Content-Length: \t5\r\n", "abcde") NEXT),
	 V(400, 0, POST("Content-Length: five\r\n", "abcde")),
	V(400, 0, POST("Content-Length : 5\r\n", "abcde")), V(400, 0, POST("Content-Length\t: 5\r\n", "abcde")),
	V(400, 0, POST("Content-Length: 5\0\r\n", "abcde")), V(400, 0, POST("Content-Length: \xb2\r\n", "ab")),
	V(413, 0, POST("Content-Length: 18446744073709551617\r\n", "a")),
	V(413, 0, POST("Content-Length: 18446744073709551616\r\n", "")), V(0, 1, POST("Content-Length: 00000000000000000000000000000000005\r\n", "abcde")),
	V(413, 0, POST("Content-Length: 9223372036854775808\r\n", "")), V(400, 0, POST("Content-Length: 99999999999999999999999x\r\n", "")),
	V(413, 0, POST("Content-Length: 999999999999999999\r\n", "")),
	V(413, 0, POST("Content-Length: 1001\r\n", "")), V(413, 0, POST("Content-Length: 4294967296\r\n", "")),
	V(0, 0, POST("Content-Length: 1000\r\n", "abc")),
	/* a lying length: the rest is the next request */
	V(400, 1, POST("Content-Length: 3\r\n", "abcde \r\n")), V(400, 1, POST("Content-Length: 3\r\n", "abc{}")),
	/* Transfer-Encoding */
	V(0, 1, POST(CHUNKED, "0\r\n\r\n")), V(0, 1, POST(CHUNKED, "5\r\nabcde\r\n0\r\n\r\n")),
	V(0, 1, POST("transfer-encoding:CHUNKED\r\n", "A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n")),
	V(0, 2, POST(CHUNKED, "1\r\na\r\n0\r\n\r\n") NEXT),
	V(0, 1, POST(CHUNKED, "23\r\nGET /SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n")),
	V(0, 2, "GET / HTTP/1.1\r\n" H CHUNKED "\r\n0\r\n\r\n" NEXT),
	V(400, 0, POST(CHUNKED "Content-Length: 4\r\n", "0\r\n\r\n")),
	V(400, 0, POST("Content-Length: 0\r\n" CHUNKED, "0\r\n\r\n")),
	V(400, 0, POST(CHUNKED CHUNKED, "0\r\n\r\n")), V(400, 0, POST("Transfer-Encoding: xchunked\r\n", "")),
	V(501, 0, POST("Transfer-Encoding: gzip, chunked\r\n", "")), V(400, 0, POST("Transfer-Encoding: gzip\r\n", "")),
	V(400, 0, POST("Transfer-Encoding: identity\r\n", "")), V(400, 0, POST("Transfer-Encoding: chunked, chunked\r\n", "")),
	V(400, 0, POST("Transfer-Encoding: chunked;q=1\r\n", "")), V(400, 0, POST("Transfer-Encoding:\r\n", "")),
	V(400, 0, POST("Transfer-Encoding: \"chunked\"\r\n", "")), V(400, 0, POST("Transfer-Encoding: ,chunked\r\n", "")),
	V(0, 1, POST("Transfer-Encoding:\tchunked\t\r\n", "0\r\n\r\n")), V(400, 0, POST("Transfer-Encoding : chunked\r\n", "")),
	V(400, 0, POST("Transfer-Encoding: chunked\x0b\r\n", "")), V(400, 0, POST("Transfer-Encoding: chunked\0\r\n", "")),
	V(400, 0, POST("Transfer-Encoding:\r\n chunked\r\n", "")), V(501, 0, POST("Transfer-Encoding: x;q=\"a\",chunked\r\n", "")),
	V(400, 0, POST("Transfer-Encoding: chunked,\r\n", "")), V(400, 0, POST("Transfer-Encoding: chunked, gzip\r\n", "")),
	V(400, 0, POST("Transfer-Encoding: chunked x\r\n", "")), V(400, 0, POST("Transfer-Encoding: x chunked\r\n", "")),
	V(400, 0, POST("Transfer-Encoding: chunked, identity\r\n", "")), V(400, 0, POST("Transfer-Encoding: ch\tunked\r\n", "")),
	V(400, 0, "POST / HTTP/1.0\r\n" CHUNKED "\r\n0\r\n\r\n"),
	/* chunks */
	V(400, 0, POST(CHUNKED, "0x5\r\nabcde\r\n0\r\n\r\n")), V(400, 0, POST(CHUNKED, "+5\r\nabcde\r\n0\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "-5\r\nabcde\r\n0\r\n\r\n")), V(400, 0, POST(CHUNKED, " 5\r\nabcde\r\n0\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "5 \r\nabcde\r\n0\r\n\r\n")), V(400, 0, POST(CHUNKED, "\r\n5\r\nabcde\r\n")),
	V(0, 1, POST(CHUNKED, "5;a=b\r\nabcde\r\n0\r\n\r\n")), V(400, 0, POST(CHUNKED, "5;\r\nabcde\r\n")),
	V(0, 1, POST(CHUNKED, "5 ; a = b\t;c;d=\"e;\\\"\xff f=\" ;g\r\nabcde\r\n0;h\r\n\r\n")),
	V(0, 2, POST(CHUNKED, "5;a;b;c=d\r\nabcde\r\n0;e=\"\"\r\n\r\n") NEXT), V(400, 0, POST(CHUNKED, "5;a=\r\nabcde\r\n")),
	V(400, 0, POST(CHUNKED, "5;=b\r\n")), V(400, 0, POST(CHUNKED, "5;a=b=c\r\n")), V(400, 0, POST(CHUNKED, "5;a b\r\n")),
	V(400, 0, POST(CHUNKED, "5;a \r\n")), V(400, 0, POST(CHUNKED, "5;a=\"b\r\n")), V(400, 0, POST(CHUNKED, "5;a=\"b\"c\r\n")),
	V(400, 0, POST(CHUNKED, "5;a=\"\\\r\n")), V(400, 0, POST(CHUNKED, "5;a\n")), V(400, 0, POST(CHUNKED, "5;a\rb\r\n")),
	V(400, 0, POST(CHUNKED, "5;a\0\r\n")), V(400, 0, POST(CHUNKED, "5;\xff\r\n")), V(400, 0, POST(CHUNKED, "5 a\r\n")),
	V(413, 0, POST(CHUNKED, "3e9;a=b\r\n")),
	V(400, 0, POST(CHUNKED, "5\nabcde\n0\n\n")), V(400, 0, POST(CHUNKED, "5\r\nabcdef\r\n0\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "5\r\nabcd\r\n0\r\n\r\n")), V(400, 0, POST(CHUNKED, "5\r\nabcde0\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "5\r\nabcde\r\n\r\n0\r\n\r\n")), V(400, 0, POST(CHUNKED, "5\r\nabcde\n0\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "g\r\n")), V(400, 0, POST(CHUNKED, "00000000000000005\r\nabcde\r\n")),
	V(400, 0, POST(CHUNKED, "10000000000000000\r\n")), V(400, 0, POST(CHUNKED, "5\rabcde\r\n")),
	V(0, 1, POST(CHUNKED, "0;x\r\n\r\n")), V(413, 0, POST(CHUNKED, "3e9\r\n")),
	V(413, 0, POST(CHUNKED, "ffffffffffffffff\r\n")), V(413, 0, POST(CHUNKED, "8000000000000000\r\n")),
	V(413, 0, POST(CHUNKED, "1\r\na\r\n3e8\r\n")), V(0, 0, POST(CHUNKED, "3e8\r\n")),
	/* trailers */
	V(0, 1, POST(CHUNKED, "0\r\nA: b\r\n\r\n")), V(0, 2, POST(CHUNKED, "0\r\nHost: b\r\nContent-Length:5\r\n\r\n") NEXT),
	V(0, 1, POST(CHUNKED, "1\r\na\r\n0\r\nA:\r\nB-c:\t\xff d\r\n\r\n")), V(400, 0, POST(CHUNKED, "0\r\nA : b\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "0\r\nA: b\r\n c\r\n\r\n")), V(400, 0, POST(CHUNKED, "0\r\nA\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "0\r\n: b\r\n\r\n")), V(400, 0, POST(CHUNKED, "0\r\nA: b\n\r\n")),
	V(400, 0, POST(CHUNKED, "0\r\nA: b\rc\r\n")), V(400, 0, POST(CHUNKED, "0\r\nA: \0\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "0\r\nGET / HTTP/1.1\r\n\r\n")),
	V(400, 0, POST(CHUNKED, "0\r\n\n")), V(400, 0, POST(CHUNKED, "0\r\n\rX")), V(400, 0, POST(CHUNKED, "0\r\n X")),
	/* Expect */
	V(0, 1, POST("Expect: 100-continue\r\nContent-Length: 1\r\n", "a")),
	V(0, 1, POST("expect: 100-Continue\r\n", "")), V(0, 1, "GET / HTTP/1.0\r\nExpect: tea\r\n\r\n"),
	V(417, 0, POST("Expect: 200-ok\r\n", "")), V(417, 0, POST("Expect:\r\n", "")),
	V(417, 0, POST("Expect: 100-continue, x\r\n", "")),
	V(417, 0, POST("Expect: 100-continue\r\nExpect: x\r\n", "")),
	V(413, 0, POST("Expect: 100-continue\r\nContent-Length: 1001\r\n", "")),
	/* the connection's end: what follows is dropped, not refused, not run */
	V(0, 1, GET(H "Connection: close\r\n") SMUGGLED), V(0, 1, GET(H "Connection: CLOSE\r\n") "\0\0"),
	V(0, 1, GET(H "Connection: keep-alive, close\r\n") SMUGGLED), V(0, 1, GET(H "Connection: x ,close , y\r\n") SMUGGLED),
	V(0, 1, GET(H "Connection: x\r\nConnection: close\r\n") SMUGGLED), V(0, 2, GET(H "Connection: closed\r\n") NEXT),
	V(0, 2, GET(H "Connection: \"close\"\r\n") NEXT), V(0, 2, GET(H "Connection: ,,\r\n") NEXT),
	V(0, 1, "GET / HTTP/1.0\r\n\r\n" SMUGGLED), V(0, 1, "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na" SMUGGLED),
	V(0, 2, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" NEXT),
	V(0, 1, "GET / HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\n" SMUGGLED),
	V(0, 1, "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n" SMUGGLED),
	V(0, 2, NEXT GET(H "Connection: close\r\n") SMUGGLED), V(0, 1, GET(H "Connection:\tclose\r\n") SMUGGLED), V(0, 1, GET(H "Connection: x,\tclose\t,y\r\n") SMUGGLED),
	/* after good ones */
	V(400, 2, NEXT NEXT "GET / HTTP/1.1\r\n\r\n"), V(400, 1, NEXT "\0"),
	V(400, 1, POST("Content-Length: 4\r\n", "abcd") "GET //x HTTP/1.1\r\n"),
#undef V
};

#endif
