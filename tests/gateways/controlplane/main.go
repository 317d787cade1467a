// Command controlplane asks an Envoy authorization service by other people's types: go-control-plane's, over grpc-go.
//
//	controlplane ADDRESS < asks > answers
//
// Each line of the standard input is an ask (JSON, see `ask`), each line of the standard output what came of it
// (`answer`), in the same order. It owns no rule of what is right, but one: what comes has to satisfy the constraints that
// Envoy's own types state, and to hold no field that they do not have.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const patience = 30 * time.Second

// ask is one request at Envoy. Raw headers (bytes in base64) are sent as `encode_raw_headers` has them, in a header map.
type ask struct {
	Key     string            `json:"key"`
	Empty   bool              `json:"empty"`
	Method  string            `json:"method"`
	Host    string            `json:"host"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Raw     []rawHeader       `json:"raw"`
	Body    int               `json:"body"`
}

type rawHeader struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// answer is what Envoy would go by. Kind says which response there is: `ok`, `denied`, `error`, or “ for none.
type answer struct {
	RPC      string            `json:"rpc"`
	Code     int32             `json:"code"`
	Kind     string            `json:"kind"`
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Actions  []string          `json:"actions"`
	Remove   []string          `json:"remove"`
	Body     string            `json:"body"`
	Decision string            `json:"decision"`
	Invalid  string            `json:"invalid"`
	Unknown  []string          `json:"unknown"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: controlplane ADDRESS < asks > answers")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n", err)
		os.Exit(1)
	}
}

func run(address string, in io.Reader, out io.Writer) error {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	client, asks, answers := auth.NewAuthorizationClient(connection), json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	asks.DisallowUnknownFields()
	for {
		var next ask
		if err := asks.Decode(&next); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("an ask cannot be read: %w", err)
		}
		if err := answers.Encode(told(client, next)); err != nil {
			return err
		}
	}
}

func told(client auth.AuthorizationClient, next ask) answer {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	if next.Key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "muster-gateway-key", next.Key)
	}
	response, err := client.Check(ctx, next.request(), grpc.MaxCallSendMsgSize(1<<30))
	if err != nil {
		return answer{RPC: status.Code(err).String(), Body: status.Convert(err).Message()}
	}
	return read(response)
}

func (a ask) request() *auth.CheckRequest {
	if a.Empty {
		return &auth.CheckRequest{}
	}
	http := &auth.AttributeContext_HttpRequest{
		Method: a.Method, Host: a.Host, Path: a.Path, Headers: a.Headers, Protocol: "HTTP/1.1",
		Body: strings.Repeat("x", a.Body), Size: int64(a.Body),
	}
	if a.Raw != nil {
		http.HeaderMap = &core.HeaderMap{}
	}
	for _, each := range a.Raw {
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, &core.HeaderValue{Key: each.Name, RawValue: each.Value})
	}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{Request: &auth.AttributeContext_Request{Http: http}}}
}

func read(response *auth.CheckResponse) answer {
	made := answer{RPC: "OK", Code: response.GetStatus().GetCode(), Headers: map[string]string{}, Unknown: []string{}}
	var headers []*core.HeaderValueOption
	switch kind := response.GetHttpResponse().(type) {
	case *auth.CheckResponse_OkResponse:
		made.Kind, headers, made.Remove = "ok", kind.OkResponse.GetHeaders(), kind.OkResponse.GetHeadersToRemove()
	case *auth.CheckResponse_DeniedResponse:
		made.Kind, headers, made.Body = "denied", kind.DeniedResponse.GetHeaders(), kind.DeniedResponse.GetBody()
		made.Status = int(kind.DeniedResponse.GetStatus().GetCode())
	case *auth.CheckResponse_ErrorResponse:
		made.Kind = "error"
	}
	for _, option := range headers {
		made.Headers[option.GetHeader().GetKey()] = option.GetHeader().GetValue()
		made.Actions = append(made.Actions, option.GetAppendAction().String())
	}
	made.Decision = response.GetDynamicMetadata().GetFields()["decision_id"].GetStringValue()
	if err := response.ValidateAll(); err != nil {
		made.Invalid = err.Error()
	}
	unknown(response.ProtoReflect(), &made.Unknown)
	return made
}

// unknown lists the messages, at any depth, that hold fields which their types do not have.
func unknown(message protoreflect.Message, found *[]string) {
	if len(message.GetUnknown()) > 0 {
		*found = append(*found, string(message.Descriptor().FullName()))
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for at := range value.List().Len() {
				unknown(value.List().Get(at).Message(), found)
			}
		default:
			unknown(value.Message(), found)
		}
		return true
	})
}
