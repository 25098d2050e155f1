/* queue_api.h: errand.v1.Queues: queues as resources. Loop thread. */
#ifndef SERVICE_QUEUE_API_H
#define SERVICE_QUEUE_API_H

#include <protobuf-c/protobuf-c.h>

/* Its handlers, for the registry. */
extern ProtobufCService *const queue_api_service;

#endif
