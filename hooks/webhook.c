#include "hooks/webhook.h"

#include <curl/curl.h>
#include <time.h>

#include "base/version.h"

enum { ANSWER_MAX = 64 * 1024 };

enum verdict { DONE, REFUSED, AGAIN };

/* Nobody wants to know what the server says; one that does not stop to say it is cut off. */
static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
	size_t *got = arg;

	(void)p;
	*got += size * n;
	return *got <= ANSWER_MAX ? size * n : 0;
}

static bool set_up(CURL *c, struct curl_slist *headers, const char *url, const char *text, long ms, size_t *got)
{
	return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, ms) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_USERAGENT, "jitsu/" JITSU_VERSION) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_POSTFIELDS, text) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, got) == CURLE_OK;
}

static enum verdict judge(CURL *c, CURLcode r)
{
	long status = 0;

	if (r == CURLE_PEER_FAILED_VERIFICATION || r == CURLE_URL_MALFORMAT || r == CURLE_UNSUPPORTED_PROTOCOL)
		return REFUSED;
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300)
		return DONE;
	return status == 0 || status >= 500 || status == 408 || status == 429 ? AGAIN : REFUSED;
}

static enum verdict try_once(const char *url, const char *text, uint32_t ms)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	enum verdict verdict = REFUSED;
	CURL *c = curl_easy_init();
	size_t got = 0;

	if (c && headers && set_up(c, headers, url, text, (long)ms, &got))
		verdict = judge(c, curl_easy_perform(c));
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	return verdict;
}

int webhook_send(const char *url, const char *text, uint32_t timeout_ms)
{
	/* a second and then two are waited */
	uint32_t try_ms = MAX((timeout_ms - MIN(timeout_ms / 2, 3500u)) / WEBHOOK_TRIES, 1u);
	enum verdict verdict = AGAIN;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return -ENOMEM;
	for (unsigned i = 0; i < WEBHOOK_TRIES && verdict == AGAIN; i++) {
		struct timespec wait = { .tv_sec = (time_t)i };

		if (i > 0)
			nanosleep(&wait, NULL);
		verdict = try_once(url, text, try_ms);
	}
	curl_global_cleanup();
	return verdict == DONE ? 0 : verdict == REFUSED ? -EREMOTEIO : -ETIMEDOUT;
}
