/* hook_api.h: errand.v1.Deliveries. Loop thread. */
#ifndef SERVICE_HOOK_API_H
#define SERVICE_HOOK_API_H

#include "errand/service.h"

/* The handlers, for the registry. */
extern ProtobufCService *const hook_api_service;

#endif
