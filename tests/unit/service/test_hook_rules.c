/* What callbacks rest on: which addresses they may reach, the signature, when they are
 * tried again, and the breaker of a host. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "service/hook_address.h"
#include "service/hook_retry.h"
#include "service/hook_sign.h"

static char why[512];

/* --- URLs as they are set --- */

static const struct {
	const char *url;
	const char *host; /* NULL: refused */
	uint16_t port;
} urls[] = {
	{"https://example.org/hook", "example.org", 443},
	{"http://example.org", "example.org", 80},
	{"HTTPS://Example.ORG:8443/a?b=c", "example.org", 8443},
	{"https://example.org./x", "example.org", 443},
	{"https://example.org?x=1", "example.org", 443},
	{"https://8.8.8.8/", "8.8.8.8", 443},
	{"https://[2606:4700::1111]:444/", "2606:4700::1111", 444},
	{"https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443},
	{"https://1e100.net/", "1e100.net", 443},
	{"https://example.org/user:pass@x", "example.org", 443},
	/* this machine, in the spellings a resolver takes */
	{"http://127.0.0.1/", NULL, 0},
	{"http://127.1/", NULL, 0},
	{"http://127.0.1/", NULL, 0},
	{"http://2130706433/", NULL, 0},
	{"http://0x7f000001/", NULL, 0},
	{"http://0x7f.1/", NULL, 0},
	{"http://0177.0.0.1/", NULL, 0},
	{"http://017700000001/", NULL, 0},
	{"http://127.0.0.1./", NULL, 0},
	{"http://0/", NULL, 0},
	{"http://0.0.0.0:80/", NULL, 0},
	{"http://localhost/", NULL, 0},
	{"http://LOCALHOST:8080/", NULL, 0},
	{"http://localhost./", NULL, 0},
	{"http://a.localhost/", NULL, 0},
	{"http://ip6-localhost/", NULL, 0},
	{"http://[::1]/", NULL, 0},
	{"http://[::]/", NULL, 0},
	{"http://[0:0:0:0:0:0:0:1]/", NULL, 0},
	{"http://[::ffff:127.0.0.1]/", NULL, 0},
	{"http://[::ffff:7f00:1]/", NULL, 0},
	{"http://[::127.0.0.1]/", NULL, 0},
	{"http://[64:ff9b::7f00:1]/", NULL, 0},
	{"http://[64:ff9b:1::1]/", NULL, 0},
	{"http://[2002:7f00:1::]/", NULL, 0},
	{"http://[fe80::1]/", NULL, 0},
	{"http://[fe80::1%25eth0]/", NULL, 0},
	{"http://[fd12:3456::1]/", NULL, 0},
	{"http://[ff02::1]/", NULL, 0},
	{"http://[2001:db8::1]/", NULL, 0},
	/* networks of others */
	{"http://10.1.2.3/", NULL, 0},
	{"http://10.66051/", NULL, 0},
	{"http://172.16.0.1/", NULL, 0},
	{"http://172.31.255.255/", NULL, 0},
	{"http://192.168.1.1/", NULL, 0},
	{"http://169.254.169.254/latest/meta-data/", NULL, 0},
	{"http://100.64.0.1/", NULL, 0},
	{"http://255.255.255.255/", NULL, 0},
	{"http://224.0.0.1/", NULL, 0},
	{"http://192.0.2.1/", NULL, 0},
	{"http://198.18.0.1/", NULL, 0},
	{"http://240.0.0.1/", NULL, 0},
	/* beside them */
	{"http://172.32.0.1/", "172.32.0.1", 80},
	{"http://100.128.0.1/", "100.128.0.1", 80},
	{"http://11.0.0.1/", "11.0.0.1", 80},
	{"http://[64:ff9b::808:808]/", "64:ff9b::808:808", 80},
	/* no address, no name, no HTTP */
	{"http://256.256.256.256/", NULL, 0},
	{"http://1.2.3.4.5/", NULL, 0},
	{"http://example.0x7f/", NULL, 0},
	{"ftp://example.org/", NULL, 0},
	{"file:///etc/passwd", NULL, 0},
	{"unix:/run/x", NULL, 0},
	{"gopher://example.org/", NULL, 0},
	{"//example.org/", NULL, 0},
	{"example.org", NULL, 0},
	{"", NULL, 0},
	{"http://", NULL, 0},
	{"http:///path", NULL, 0},
	{"http://user@example.org/", NULL, 0},
	{"http://user:pass@example.org/", NULL, 0},
	{"http://example.org@127.0.0.1/", NULL, 0},
	{"http://127.0.0.1\\@example.org/", NULL, 0},
	{"http://example.org/#x", NULL, 0},
	{"http://example.org/a b", NULL, 0},
	{"http://example.org/\r\nX: y", NULL, 0},
	{"http://b\xc3\xbc" "cher.example/", NULL, 0},
	{"http://%31%32%37.0.0.1/", NULL, 0},
	{"http://example.org:0/", NULL, 0},
	{"http://example.org:65536/", NULL, 0},
	{"http://example.org:/", NULL, 0},
	{"http://example.org:80a/", NULL, 0},
	{"http://example..org/", NULL, 0},
	{"http://.example.org/", NULL, 0},
	{"http://[::1/", NULL, 0},
	{"http://[]/", NULL, 0},
	{"http://[::1]x/", NULL, 0},
	{"http://::1/", NULL, 0},
};

static void urls_as_set(void **state)
{
	struct hook_rules none = {0};
	struct hook_url u;

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		int r = hook_url_check(&none, urls[i].url, &u, why, sizeof why);

		if ((r == 0) != (urls[i].host != NULL))
			fail_msg("%s: %s", urls[i].url, r == 0 ? "taken" : why);
		if (r == 0) {
			assert_string_equal(u.host, urls[i].host);
			assert_int_equal(u.port, urls[i].port);
			assert_int_equal(u.tls, (urls[i].url[4] | 32) == 's');
		}
	}
}

static void long_urls(void **state)
{
	struct hook_rules none = {0};
	struct hook_url u;
	char url[HOOK_URL_MAX + 2] = "http://example.org/";

	memset(url + strlen(url), 'a', HOOK_URL_MAX - strlen(url));
	assert_int_equal(hook_url_check(&none, url, &u, why, sizeof why), 0);
	url[HOOK_URL_MAX] = 'a';
	assert_true(hook_url_check(&none, url, &u, why, sizeof why) < 0);
	memset(url, 'a', 400);
	memcpy(url, "http://", 7);
	url[400] = 0;
	assert_true(hook_url_check(&none, url, &u, why, sizeof why) < 0);
}

/* --- addresses as they are dialled --- */

static bool dial(const struct hook_rules *r, const char *url, const char *address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct hook_url u;

	assert_int_equal(hook_url_check(r, url, &u, why, sizeof why), 0);
	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		return hook_address_check(r, &u, (struct sockaddr *)&v4, why, sizeof why);
	assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
	return hook_address_check(r, &u, (struct sockaddr *)&v6, why, sizeof why);
}

static void addresses_dialled(void **state)
{
	static const char *const bad[] = {"127.0.0.1", "127.255.255.254", "10.0.0.1", "169.254.169.254",
		"192.168.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1",
		"fc00::1", "fdff::1", "64:ff9b::a00:1", "2002:a00:1::", "2001::1", "::10.0.0.1", "ff0e::1"};
	static const char *const good[] = {"8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"};
	struct hook_rules none = {0};
	struct hook_url u = {.host = "example.org", .port = 80};
	struct sockaddr other = {.sa_family = AF_UNIX};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (dial(&none, "http://example.org/", bad[i]))
			fail_msg("%s is dialled", bad[i]);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!dial(&none, "http://example.org/", good[i]))
			fail_msg("%s", why);
	assert_false(hook_address_check(&none, &u, &other, why, sizeof why));
}

static void allow_list(void **state)
{
	static const char *const bad[] = {"", "/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8:0", "a b", "[::1",
		"[::1]x", "[example.org]", "::1/129", "host/8", "host:", "host:70000", "127.1", "10.0.0.0/-1", ":80"};
	struct hook_rules r = {0};
	struct hook_url u;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (hook_rules_add(&r, bad[i], why, sizeof why) == 0)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(hook_rules_add(&r, "127.0.0.1:8080", why, sizeof why), 0);
	assert_int_equal(hook_rules_add(&r, "10.2.0.0/15", why, sizeof why), 0);
	assert_int_equal(hook_rules_add(&r, "[fd00::]/8:443", why, sizeof why), 0);
	assert_int_equal(hook_rules_add(&r, "::1", why, sizeof why), 0);
	assert_int_equal(hook_rules_add(&r, "Hooks.internal:9", why, sizeof why), 0);

	assert_true(dial(&r, "http://127.0.0.1:8080/", "127.0.0.1"));
	assert_true(dial(&r, "http://127.1:8080/", "127.0.0.1"));
	assert_true(dial(&r, "http://[::ffff:127.0.0.1]:8080/", "::ffff:127.0.0.1"));
	assert_true(hook_url_check(&r, "http://127.0.0.1:8081/", &u, why, sizeof why) < 0);
	assert_true(hook_url_check(&r, "http://127.0.0.2:8080/", &u, why, sizeof why) < 0);
	/* a name is judged by where it leads, also by its port */
	assert_true(dial(&r, "http://localhost:8080/", "127.0.0.1"));
	assert_false(dial(&r, "http://localhost:8081/", "127.0.0.1"));
	assert_true(dial(&r, "http://[::1]:1/", "::1"));
	assert_true(dial(&r, "http://10.3.255.255/", "10.3.255.255"));
	assert_true(hook_url_check(&r, "http://10.4.0.0/", &u, why, sizeof why) < 0);
	assert_true(dial(&r, "https://[fd01::1]/", "fd01::1"));
	assert_true(hook_url_check(&r, "http://[fd01::1]/", &u, why, sizeof why) < 0);
	assert_true(dial(&r, "http://hooks.INTERNAL:9/", "192.168.7.7"));
	assert_false(dial(&r, "http://hooks.internal:10/", "192.168.7.7"));
	assert_false(dial(&r, "http://other.internal:9/", "192.168.7.7"));
	hook_rules_deinit(&r);
}

/* --- the signature --- */

#define TEXT(s) ((struct bytes){(const uint8_t *)(s), strlen(s)})
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static struct hook_keys *keys_of(const char *text)
{
	struct hook_keys *k;

	if (hook_keys_parse("keys", TEXT(text), &k, why, sizeof why) < 0)
		fail_msg("%s", why);
	return k;
}

/* The vector of the reference libraries' own tests. */
static void signature(void **state)
{
	struct hook_keys *k = keys_of(SECRET "\n");
	AUTO_BUF out = BUF_INIT;

	hook_sign(k, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, TEXT("{\"test\": 2432232314}"), &out);
	assert_string_equal(buf_cstr(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	hook_keys_free(k);
}

static void two_signatures(void **state)
{
	struct hook_keys *k = keys_of("# the new one\n\n  whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA \r\n" SECRET);
	AUTO_BUF out = BUF_INIT;
	const char *second;

	assert_int_equal(hook_keys_count(k), 2);
	hook_sign(k, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, TEXT("{\"test\": 2432232314}"), &out);
	second = strchr(buf_cstr(&out), ' ');
	assert_non_null(second);
	assert_int_equal(strncmp(buf_cstr(&out), "v1,", 3), 0);
	assert_string_equal(second + 1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	hook_keys_free(k);
}

static void bad_keys(void **state)
{
	static const char *const texts[] = {"", "# only this\n", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_",
		"whsec_!!!", "whsec_AAAA", SECRET " x", SECRET "\nsecret-of-mine",
		SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n" SECRET};
	struct hook_keys *k;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (hook_keys_parse("keys", TEXT(texts[i]), &k, why, sizeof why) == 0)
			fail_msg("taken: %s", texts[i]);
		assert_null(strstr(why, "MfKQ"));
		assert_null(strstr(why, "mine"));
	}
}

static void key_files(void **state)
{
	char path[] = "/tmp/test_hook_keys.XXXXXX";
	int fd = mkstemp(path);
	struct hook_keys *k;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, SECRET "\n", strlen(SECRET) + 1), (ssize_t)strlen(SECRET) + 1);
	assert_int_equal(hook_keys_read(path, &k, why, sizeof why), 0);
	hook_keys_free(k);
	for (unsigned mode = 1; mode <= 040; mode <<= 1) {
		fchmod(fd, 0600 | mode);
		assert_true(hook_keys_read(path, &k, why, sizeof why) < 0);
		assert_non_null(strstr(why, "chmod 600"));
		assert_null(k);
	}
	close(fd);
	unlink(path);
	assert_true(hook_keys_read(path, &k, why, sizeof why) < 0);
	assert_true(hook_keys_read("/tmp", &k, why, sizeof why) < 0);
}

/* --- when again --- */

static void schedule(void **state)
{
	static const char *const bad[] = {"", ",", "5", "5s,", "5s,,6s", "0s", "x", "5s;6s", "60d,100000h"};
	struct hook_schedule s;

	assert_int_equal(hook_schedule_parse(HOOK_RETRY_DEFAULT, &s, why, sizeof why), 0);
	assert_int_equal(s.n, 9);
	assert_int_equal(hook_schedule_wait(&s, 1, 0, 0), 5 * US_PER_S);
	assert_int_equal(hook_schedule_wait(&s, 1, 0, 0.5), 5500000);
	assert_int_equal(hook_schedule_wait(&s, 2, 0, 0), 300 * US_PER_S);
	assert_int_equal(hook_schedule_wait(&s, 9, 0, 0), 24 * 3600 * US_PER_S);
	assert_int_equal(hook_schedule_wait(&s, 10, 0, 0), -1);
	/* what the answer asks for counts when it is longer, up to a day */
	assert_int_equal(hook_schedule_wait(&s, 1, 7 * US_PER_S, 0), 7 * US_PER_S);
	assert_int_equal(hook_schedule_wait(&s, 2, 7 * US_PER_S, 0), 300 * US_PER_S);
	assert_int_equal(hook_schedule_wait(&s, 1, INT64_MAX, 0), 24 * 3600 * US_PER_S);
	assert_int_equal(hook_schedule_wait(&s, 10, 7 * US_PER_S, 0), -1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (hook_schedule_parse(bad[i], &s, why, sizeof why) == 0)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(hook_schedule_parse("100ms,1m", &s, why, sizeof why), 0);
	assert_int_equal(s.wait_us[0], 100000);
}

static void breaker(void **state)
{
	struct hook_breaker_limits l = {.failures = 3, .pause_us = 100, .pause_max_us = 250};
	struct hook_breaker b = {0};
	int64_t when;

	for (int i = 0; i < 2; i++) {
		assert_true(hook_breaker_allows(&b, 0, &when));
		hook_breaker_begin(&b);
		assert_false(hook_breaker_end(&b, &l, false, 0));
	}
	hook_breaker_begin(&b);
	assert_false(hook_breaker_end(&b, &l, true, 0)); /* not in a row */
	for (int i = 0; i < 3; i++) {
		hook_breaker_begin(&b);
		assert_int_equal(hook_breaker_end(&b, &l, false, 10), i == 2);
	}
	assert_false(hook_breaker_end(&b, &l, false, 20)); /* one that was under way */
	assert_false(hook_breaker_allows(&b, 109, &when));
	assert_int_equal(when, 110);
	assert_true(hook_breaker_allows(&b, 110, &when)); /* one probes */
	hook_breaker_begin(&b);
	assert_false(hook_breaker_allows(&b, 111, &when));
	assert_int_equal(when, 0);
	assert_true(hook_breaker_end(&b, &l, false, 120)); /* twice as long */
	assert_false(hook_breaker_allows(&b, 319, &when));
	assert_true(hook_breaker_allows(&b, 320, &when));
	hook_breaker_begin(&b);
	assert_true(hook_breaker_end(&b, &l, false, 320)); /* and no longer than that */
	assert_false(hook_breaker_allows(&b, 569, &when));
	assert_int_equal(when, 570);
	hook_breaker_begin(&b);
	assert_false(hook_breaker_end(&b, &l, true, 600));
	assert_true(hook_breaker_allows(&b, 600, &when));
	assert_int_equal(b.failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_as_set), cmocka_unit_test(long_urls),
		cmocka_unit_test(addresses_dialled), cmocka_unit_test(allow_list),
		cmocka_unit_test(signature), cmocka_unit_test(two_signatures),
		cmocka_unit_test(bad_keys), cmocka_unit_test(key_files),
		cmocka_unit_test(schedule), cmocka_unit_test(breaker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
