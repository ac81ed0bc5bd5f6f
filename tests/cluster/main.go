// Command test-cluster is a real Kubernetes for the tests, in one binary.
//
//	test-cluster kwok --dir DIR [flags]       control plane whose nodes are simulated; needs no root
//	test-cluster real --dir DIR [flags]       control plane, kubelets and containers; needs root
//	test-cluster registry --listen ADDR ...   a container registry with faults on demand
//	test-cluster autoscaler ...               stand-in for the Cluster Autoscaler; see autoscaler.go
//	test-cluster instances ...                instances of Auto Scaling groups become simulated nodes
//	test-cluster COMPONENT [flags]            etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
//	                                          kubelet, kubectl or kwok-controller: upstream's own command
//
// Real in both tiers: etcd, the API server with its default admission plugins, RBAC, the Job
// controller, garbage collection, quota, the scheduler. Not real in tier kwok: nodes and pods, whose
// states follow stages.yaml, and logs, which come from files or annotations through the kubelet's own
// log reader. Real in tier real: kubelet, containerd, runc, pulls, cgroups, out-of-memory kills, logs.
// Not real anywhere: a cloud (but see autoscaler.go, instances.go and ../aws), kube-proxy, DNS, storage classes, and TLS to the registry.
//
// Each component is a child process (this binary again), never a goroutine: upstream's commands share
// process-wide state such as signal handlers, which panic when installed twice, feature gates, log
// set-up and Prometheus registries. A child dies with its parent (Pdeathsig), whatever kills that.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var commands = map[string]func() *cobra.Command{
	"kwok":     newKwokTier,
	"real":     newRealTier,
	"registry": newRegistry,

	"autoscaler": newAutoscaler,
	"instances":  newInstances,

	"etcd":                    newEtcd,
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
	"kwok-controller":         newKwokController,

	// Parts of tier real, each its own process; see real.go.
	"real-init":    newRealInit,
	"real-inside":  newRealInside,
	"real-janitor": newRealJanitor,
}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args
	if _, ok := commands[name]; !ok && len(os.Args) > 1 {
		name, args = os.Args[1], os.Args[1:]
	}
	command, ok := commands[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "usage: test-cluster kwok|real|registry|autoscaler|instances|etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kubectl|kwok-controller [flags]")
		os.Exit(2)
	}
	os.Args = args // the components read os.Args themselves
	os.Exit(cli.Run(command()))
}

func newEtcd() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "etcd", RunE: func(*cobra.Command, []string) error {
		config, err := embed.ConfigFromFile(file)
		if err != nil {
			return err
		}
		etcd, err := embed.StartEtcd(config)
		if err != nil {
			return err
		}
		defer etcd.Close()
		<-etcd.Server.ReadyNotify()
		select {
		case err := <-etcd.Err():
			return err
		case <-etcd.Server.StopNotify():
			return fmt.Errorf("etcd stopped")
		}
	}}
	c.Flags().StringVar(&file, "config-file", "", "etcd YAML configuration")
	return c
}
