/* errand-service: the daemon without methods of its own; --module brings them. */
#include <stddef.h>

#include "errand/service.h"

int main(int argc, char **argv)
{
	return errand_service_main(argc, argv, (const struct errand_module *const[]){NULL});
}
