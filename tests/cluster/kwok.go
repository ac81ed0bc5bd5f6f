package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	kwokconfig "sigs.k8s.io/kwok/pkg/config"
	kwok "sigs.k8s.io/kwok/pkg/kwok/cmd"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
)

//go:embed stages.yaml
var stages string

// newKwokTier is tier kwok: a control plane, and nodes and pods that follow stages.yaml.
func newKwokTier() *cobra.Command {
	o := &controlPlane{}
	ignoreInput := false
	c := &cobra.Command{Use: "kwok --dir DIR", Short: "control plane with simulated nodes", SilenceUsage: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runKwokTier(o, !ignoreInput) }}
	o.flags(c.Flags())
	c.Flags().BoolVar(&ignoreInput, "ignore-input", false, "do not end when standard input does")
	_ = c.MarkFlagRequired("dir")
	return c
}

func runKwokTier(o *controlPlane, watchInput bool) error {
	runtime.LockOSThread() // Pdeathsig belongs to the forking thread
	began := time.Now()
	orders := make(chan string)
	stop := signals(watchInput, func(order string) { orders <- order })
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	f, err := newFamily(filepath.Join(o.dir, "logs"))
	if err != nil {
		return err
	}
	defer f.stop()
	if err := o.start(f, stop); err != nil {
		return err
	}
	pods, err := serveLogs(o, filepath.Join(o.dir, "pods"))
	if err != nil {
		return err
	}
	file := filepath.Join(o.dir, "stages.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(stages, "@PORT@", strconv.Itoa(pods.port))), 0o644); err != nil {
		return err
	}
	if _, err := f.component("kwok-controller", "--kubeconfig="+o.userConfig("admin"), "--config="+file, "--node-ip=127.0.0.1"); err != nil {
		return err
	}
	ready := map[string]any{"tier": "kwok", "pid": os.Getpid(), "dir": o.dir, "kubeconfig": o.userConfig("admin"), "powerless_kubeconfig": o.userConfig("powerless"),
		"server": o.server, "token": o.token, "pods": pods.dir, "logs": f.logs, "seconds": time.Since(began).Seconds()}
	if o.audit {
		ready["audit_log"] = o.auditLog()
	}
	if err := announce(ready); err != nil {
		return err
	}
	for {
		select {
		case err := <-f.failed:
			return err
		case <-stop:
			return nil
		case order := <-orders:
			known, err := o.obey(order, f, stop)
			if !known {
				err = fmt.Errorf("want %s", controlPlaneOrders)
			}
			if err := answered(order, err); err != nil {
				return err
			}
		}
	}
}

// newKwokController is kwok's own command. Its --config files are read before cobra parses the
// command line, hence the separate flag set.
func newKwokController() *cobra.Command {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, _ = kwoklog.InitFlags(ctx, flags)
	ctx, err := kwokconfig.InitFlags(ctx, flags)
	if err != nil {
		println("kwok:", err.Error())
		os.Exit(1)
	}
	c := kwok.NewCommand(ctx)
	c.Version = "" // else cobra trips over the "version" flag that component-base registers process-wide
	c.PersistentFlags().AddFlagSet(flags)
	c.SetContext(ctx)
	return c
}
