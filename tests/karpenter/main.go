// The real Karpenter, for the tests:
//
//	karpenter crds   print the kinds that it needs, as CustomResourceDefinitions
//	karpenter run    watch over the cluster of $KUBECONFIG until standard input ends
//
// Real: all of Karpenter's controllers, from its own module: what it simulates, decides, creates, taints, deletes and
// writes into events and conditions. It is configured by Karpenter's own variables (DISABLE_LEADER_ELECTION, …).
//
// Not real: the machines. Karpenter's own provider for kwok creates Node objects without a machine, which the test
// cluster's kwok makes ready and runs pods on; their capacity is what their first pods ask for, not the machine's. And
// that provider never fails: shortage.go makes it fail where a test wants that.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/log"
	kwokapis "sigs.k8s.io/karpenter/kwok/apis"
	kwok "sigs.k8s.io/karpenter/kwok/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/apis"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	"sigs.k8s.io/karpenter/pkg/controllers"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/operator"
)

func main() {
	if len(os.Args) != 2 {
		usage()
	}
	command := os.Args[1]
	os.Args = os.Args[:1] // the rest is Karpenter's to parse
	switch command {
	case "crds":
		crds()
	case "run":
		run()
	default:
		usage()
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: karpenter crds|run")
	os.Exit(2)
}

// crds prints a List for `kubectl apply`.
func crds() {
	list := map[string]any{"apiVersion": "v1", "kind": "List", "items": append(apis.CRDs, kwokapis.CRDs...)}
	if err := json.NewEncoder(os.Stdout).Encode(list); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run does what the main function of sigs.k8s.io/karpenter/kwok does, with shortages in between.
func run() {
	go func() { // whoever started this holds the other end
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	ctx, op := operator.NewOperator()
	instanceTypes, err := kwok.ConstructInstanceTypes(ctx)
	if err != nil {
		log.FromContext(ctx).Error(err, "failed constructing instance types")
		os.Exit(1)
	}
	provider := newShortages(kwok.NewCloudProvider(ctx, op.GetClient(), instanceTypes))
	decorated := overlay.Decorate(provider, op.GetClient(), op.InstanceTypeStore)
	cluster := state.NewCluster(op.Clock, op.GetClient(), decorated)
	op.WithControllers(ctx, controllers.NewControllers(
		ctx, op.Manager, op.Clock, op.GetClient(), op.EventRecorder, decorated, provider, cluster, op.InstanceTypeStore,
	)...).Start(ctx)
}
