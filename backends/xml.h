/* A small reader for XML that libvirt wrote: elements, attributes, text; one step at a time and
 * nothing kept.  Comments, processing instructions and CDATA are passed over or read as text; a
 * document type declaration is an error (there are no entities but the five of XML and characters
 * by number).  Depth and name lengths are bounded.
 */
#ifndef BACKENDS_XML_H
#define BACKENDS_XML_H

#include "base/util.h"

enum { XML_DEPTH_MAX = 32, XML_NAME_MAX = 64 };

enum xml_step {
	XML_OPEN, /* an element begins: xml_name(), xml_attr() */
	XML_TEXT, /* xml_text() */
	XML_CLOSE, /* the element ends: xml_name() */
	XML_END, /* of the document */
	XML_BAD, /* not well-formed, or too deep */
};

struct xml_reader {
	const char *at;
	unsigned depth; /* of the element the step is about: the root's is 1 */
	char names[XML_DEPTH_MAX][XML_NAME_MAX];
	const char *begin, *end; /* of the attributes, or of the text */
	bool closes; /* <x/>: the close comes next */
	bool bad;
};

void xml_init(struct xml_reader *x, const char *text);
enum xml_step xml_next(struct xml_reader *x);
const char *xml_name(const struct xml_reader *x);

/* True when the path of open elements, root first, is exactly `path`: "domain/devices/disk". */
bool xml_at(const struct xml_reader *x, const char *path);

/* After XML_OPEN: the attribute's value, decoded.  False (and out is "") when there is none or it
 * is too long. */
bool xml_attr(const struct xml_reader *x, const char *name, char *out, size_t size);

/* After XML_TEXT: decoded, cut to size. */
void xml_text(const struct xml_reader *x, char *out, size_t size);

#endif
