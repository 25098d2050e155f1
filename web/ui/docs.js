"use strict";
// Swagger UI on the document this very gateway makes from its schema. Nothing is
// asked of another origin: no validator, no document named by the address bar.
window.ui = window.SwaggerUIBundle({
	url: "../openapi.json",
	dom_id: "#swagger-ui",
	deepLinking: true,
	displayRequestDuration: true,
	queryConfigEnabled: false,
	validatorUrl: null,
});
