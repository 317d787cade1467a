// A backend behind a gateway: whoever comes around the gateway is refused.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	assertion "muster-assertion"
)

func main() {
	issuer := os.Getenv("MUSTER_URL")
	keys := assertion.NewKeys(context.Background(), issuer+"/tenants/default/jwks.json")
	verifier := assertion.Verifier{Issuer: issuer, Audience: "backend", Keys: keys}
	export := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proven, _ := assertion.Of(r.Context())
		w.Header().Set("Content-Type", "application/json")
		told := map[string]string{"for": proven.Subject, "by": proven.DecisionID}
		if err := json.NewEncoder(w).Encode(told); err != nil {
			log.Print(err)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, assertion.Handler(verifier, export)))
}
