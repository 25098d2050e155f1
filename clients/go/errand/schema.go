// Package errand calls an errand service and works for it, on containerd/ttrpc.
//
// Messages are dynamic: the service hands over its descriptor set, so nothing is
// generated. Fields are set and read as JSON, or by google.golang.org/protobuf's
// reflection.
package errand

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const anyPrefix = "type.googleapis.com/"

// Schema is what a service speaks.
type Schema struct{ files *protoregistry.Files }

// NewSchema reads a serialized google.protobuf.FileDescriptorSet.
func NewSchema(set []byte) (*Schema, error) {
	var files descriptorpb.FileDescriptorSet

	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(set, &files); err != nil {
		return nil, fmt.Errorf("the descriptor set: %w", err)
	}
	registry, err := protodesc.NewFiles(&files)
	if err != nil {
		return nil, fmt.Errorf("the descriptor set: %w", err)
	}
	return &Schema{registry}, nil
}

// Message makes an empty message by its full name.
func (s *Schema) Message(name string) (*dynamicpb.Message, error) {
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("the service has no message %s", name)
	}
	m, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no message", name)
	}
	return dynamicpb.NewMessage(m), nil
}

// Method finds "pkg.Service/Method".
func (s *Schema) Method(name string) (protoreflect.MethodDescriptor, error) {
	service, method, _ := strings.Cut(name, "/")
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("the service has no service %s", service)
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok || sd.Methods().ByName(protoreflect.Name(method)) == nil {
		return nil, fmt.Errorf("the service has no method %s", name)
	}
	return sd.Methods().ByName(protoreflect.Name(method)), nil
}

// FromJSON makes a message of a type; names as in the .proto or in camelCase.
func FromJSON(d protoreflect.MessageDescriptor, text string) (*dynamicpb.Message, error) {
	m := dynamicpb.NewMessage(d)
	if text == "" {
		return m, nil
	}
	return m, protojson.Unmarshal([]byte(text), m)
}

// ToJSON is a message for people.
func ToJSON(m proto.Message) string {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Get reads a field by name; the zero value where it is not set.
func Get(m proto.Message, field string) protoreflect.Value {
	r := m.ProtoReflect()
	return r.Get(r.Descriptor().Fields().ByName(protoreflect.Name(field)))
}

// Set sets a field by name and returns the message.
func Set(m *dynamicpb.Message, field string, value interface{}) *dynamicpb.Message {
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(field))
	if list, ok := value.([]string); ok {
		to := m.Mutable(fd).List()
		for _, v := range list {
			to.Append(protoreflect.ValueOfString(v))
		}
		return m
	}
	m.Set(fd, protoreflect.ValueOf(value))
	return m
}

// SetAny packs a message into a google.protobuf.Any field.
func SetAny(m *dynamicpb.Message, field string, value proto.Message) error {
	data, err := proto.Marshal(value)
	if err != nil {
		return err
	}
	to := m.Mutable(m.Descriptor().Fields().ByName(protoreflect.Name(field))).Message().Interface().(*dynamicpb.Message)
	Set(to, "type_url", anyPrefix+string(value.ProtoReflect().Descriptor().FullName()))
	Set(to, "value", data)
	return nil
}

// bytesField reads one length-delimited field of a serialized message.
func bytesField(data []byte, number protowire.Number) []byte {
	for len(data) > 0 {
		n, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return nil
		}
		data = data[size:]
		if n == number && kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(data)
			return v
		}
		if size = protowire.ConsumeFieldValue(n, kind, data); size < 0 {
			return nil
		}
		data = data[size:]
	}
	return nil
}
