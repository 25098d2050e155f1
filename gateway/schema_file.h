/* schema_file.h: the schema of a plain ttrpc server, which cannot be asked for it:
 * --schema FILE, read at the start and again at SIGHUP. Main thread. */
#ifndef GATEWAY_SCHEMA_FILE_H
#define GATEWAY_SCHEMA_FILE_H

/* Reads the file and publishes what it says. Negative: it stays as it was, and the log
 * says why. What a service has given of its own accord is not replaced. */
int schema_file_load(const char *path);

#endif
