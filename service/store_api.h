/* store_api.h: errand.v1.Store: the store as a file. */
#ifndef SERVICE_STORE_API_H
#define SERVICE_STORE_API_H

#include <protobuf-c/protobuf-c.h>

/* The handlers of errand.v1.Store, for the registry. */
extern ProtobufCService *const store_api_service;

#endif
