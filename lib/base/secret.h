/* secret.h: a process that has read secrets, or is told some by its clients. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

/* From now on it leaves no core file, and nobody but root may look into its memory. Programs it starts are not
 * concerned. */
void secret_held(void);

#endif
