/* article.h: what the two files of the example share. */
#ifndef ARTICLE_H
#define ARTICLE_H

#include <errand/service.h>

#include "article.pb-c.h"

const char *article_dir(void);

/* The method Encode. */
void article__encode(Article__V1__Article_Service *service, const Article__V1__EncodeRequest *in,
		     Article__V1__EncodeReply_Closure done, void *call);

#endif
