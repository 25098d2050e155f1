/* server_api.h: errand.v1.Servers: the service as a resource. */
#ifndef SERVICE_SERVER_API_H
#define SERVICE_SERVER_API_H

#include "errand/service.h"

/* For the registry; the uptime counts from the first time this is asked for. */
ProtobufCService *server_api_service(void);

#endif
