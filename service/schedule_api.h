/* schedule_api.h: errand.v1.Schedules. Loop thread. */
#ifndef SERVICE_SCHEDULE_API_H
#define SERVICE_SCHEDULE_API_H

#include <protobuf-c/protobuf-c.h>

extern ProtobufCService *const schedule_api_service;

#endif
