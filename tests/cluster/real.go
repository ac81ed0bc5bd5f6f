package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Inside, every registry name leads to this one.
const registryAddress = "127.0.0.1:5000"

// realTier is a control plane with real kubelets, in network, mount and process namespaces of its own:
// ports are free, and when the first process of the process namespace is killed the kernel ends all
// others, and with them every mount, interface and port.
//
//	real           outside: holds the API server's port, watches standard input
//	├ real-janitor outside: outlives a killed `real`; removes control groups and DIR/nodes
//	└ real-init    first process inside: mounts, reaps orphans
//	  └ real-inside  starts everything else, serves the registry
//
// The API server is reached from outside without an interface between the worlds: `real` opens a port
// on 127.0.0.1 and hands the open socket inside, where connections to it are passed on. So the program
// under test runs outside, as always, and `enter` is needed only to look around.
type realTier struct {
	controlPlane
	registryOptions

	nodeTexts          []string
	imageDir           string
	images             []string
	pulledImages       []string
	logMaxSize         string
	logMonitorInterval time.Duration
	volumeDisk         int
	kubeletConfigFile  string
	kubeletConfig      string
	awsEndpoint        string
	ignoreInput        bool

	cgroup string
	nodes  []*node
	orders *orders // outside
}

const listenerDescriptor = 3 // the open port, in real-init and real-inside

func (o *realTier) command(use string, run func() error) *cobra.Command {
	c := &cobra.Command{Use: use, SilenceUsage: true, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		runtime.LockOSThread() // Pdeathsig belongs to the forking thread
		if err := o.complete(); err != nil {
			return err
		}
		return run()
	}}
	f := c.Flags()
	o.controlPlane.flags(f)
	o.registryOptions.flags(f)
	f.StringArrayVar(&o.nodeTexts, "node", nil, `a node, "NAME labels=k=v,... taints=k=v:EFFECT,..."; default n1`)
	f.StringVar(&o.imageDir, "images", "", "directory of docker-archives: on every node, and in the registry")
	f.StringArrayVar(&o.pulledImages, "pulled-image", nil, "docker-archive that is in the registry only: large, and wanted by few pods")
	f.StringVar(&o.logMaxSize, "container-log-max-size", "1Gi", "size at which the kubelet rotates a container's log")
	f.DurationVar(&o.logMonitorInterval, "container-log-monitor-interval", 10*time.Second, "how often it looks")
	f.IntVar(&o.volumeDisk, "volume-disk", 0, "MiB of a disk that each kubelet has for volumes; it evicts pods when a third is left")
	f.StringVar(&o.kubeletConfigFile, "kubelet-config", "", "file with further lines of KubeletConfiguration")
	f.StringVar(&o.awsEndpoint, "aws-endpoint", "", "the Auto Scaling API of tests/aws, whose instances become nodes; then there is no n1")
	f.BoolVar(&o.ignoreInput, "ignore-input", false, "do not end when standard input does")
	f.StringVar(&o.cgroup, "cgroup", "", "set by `real` for its own parts")
	_ = f.MarkHidden("cgroup")
	_ = c.MarkFlagRequired("dir")
	_ = c.MarkFlagRequired("images")
	return c
}

func (o *realTier) complete() error {
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if o.imageDir, err = filepath.Abs(o.imageDir); err != nil {
		return err
	}
	for i := range o.pulledImages {
		if o.pulledImages[i], err = filepath.Abs(o.pulledImages[i]); err != nil {
			return err
		}
	}
	for _, dir := range append([]string{o.dir, o.imageDir}, o.pulledImages...) {
		if dir == "/run" || strings.HasPrefix(dir, "/run/") || strings.HasPrefix(dir, "/var/run/") {
			return fmt.Errorf("%s: inside, /run is another one; choose a directory elsewhere", dir)
		}
	}
	if o.images, err = filepath.Glob(filepath.Join(o.imageDir, "*.tar")); err != nil || len(o.images) == 0 {
		return fmt.Errorf("no images in %s", o.imageDir)
	}
	o.archives = append(append([]string{}, o.images...), o.pulledImages...)
	if o.kubeletConfigFile != "" {
		raw, err := os.ReadFile(o.kubeletConfigFile)
		if err != nil {
			return err
		}
		o.kubeletConfig = string(raw)
	}
	if len(o.nodeTexts) == 0 && o.awsEndpoint == "" {
		o.nodeTexts = []string{"n1"}
	}
	for i, text := range o.nodeTexts {
		n, err := parseNode(text, i+1)
		if err != nil {
			return err
		}
		n.tier = o
		o.nodes = append(o.nodes, n)
	}
	return nil
}

func newRealTier() *cobra.Command {
	o := &realTier{}
	c := o.command("real --dir DIR --images DIR", o.outside)
	c.Short = "control plane, kubelets and containers; needs root"
	return c
}

// outside is `real` itself.
// allowWatchers lets several clusters run at a time: each containerd and kubelet has a dozen inotify instances, of which Linux gives a
// user 128, and containerd without one has no CRI.
func allowWatchers() error {
	const limit, wanted = "/proc/sys/fs/inotify/max_user_instances", 2048
	raw, err := os.ReadFile(limit)
	if err != nil {
		return err
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(raw))); err != nil || now >= wanted {
		return err
	}
	return os.WriteFile(limit, []byte(strconv.Itoa(wanted)), 0o644)
}

func (o *realTier) outside() error {
	if err := allowWatchers(); err != nil {
		fmt.Fprintln(os.Stderr, "several clusters may not fit:", err)
	}
	if os.Geteuid() != 0 {
		return errors.New("tier real needs root")
	}
	for _, program := range []string{"containerd", "ctr", "runc", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	began := time.Now()
	stop := signals(false, nil)
	sweepCgroups()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	group := fmt.Sprintf("/%s%d", cgroupPrefix, os.Getpid())

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	janitor := exec.Command(self, "real-janitor", group, filepath.Join(o.dir, "nodes"))
	janitor.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	janitor.Stderr = os.Stderr
	alive, err := janitor.StdinPipe()
	if err != nil {
		return err
	}
	if err := janitor.Start(); err != nil {
		return err
	}
	defer func() {
		_ = alive.Close()
		_ = janitor.Wait()
	}()

	init := exec.Command(self, append([]string{"real-init", "--cgroup=" + group}, os.Args[1:]...)...)
	init.Stderr = os.Stderr
	init.ExtraFiles = []*os.File{socket}
	// Pdeathsig reaches the first process of a namespace because it is sent from outside of it.
	init.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	pipe, err := init.StdinPipe()
	if err != nil {
		return err
	}
	o.orders = &orders{pipe: pipe, pending: make(map[string]chan string)}
	answers, err := init.StdoutPipe()
	if err != nil {
		return err
	}
	if err := init.Start(); err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	socket.Close()
	listener.Close() // inside holds it now: when that is gone the port is free
	ended := make(chan error, 1)
	if err := os.WriteFile(filepath.Join(o.dir, "init.pid"), []byte(fmt.Sprintln(init.Process.Pid)), 0o644); err != nil {
		return err
	}
	go func() {
		lines := bufio.NewScanner(answers)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			answer := map[string]any{}
			if json.Unmarshal(lines.Bytes(), &answer) != nil {
				continue
			}
			if answer["tier"] == "real" {
				answer["pid"], answer["init_pid"] = os.Getpid(), init.Process.Pid
				answer["seconds"] = time.Since(began).Seconds()
				answer["enter"] = []string{"nsenter", fmt.Sprintf("--target=%d", init.Process.Pid), "--net", "--mount", "--wd=.", "--"}
				if o.awsEndpoint != "" {
					go o.driveInstances()
				}
			}
			if !o.orders.deliver(answer) {
				_ = announce(answer)
			}
		}
		ended <- init.Wait()
	}()
	input := make(chan struct{})
	if !o.ignoreInput {
		go func() {
			for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
				o.orders.send(lines.Text())
			}
			close(input)
		}()
	}
	select {
	case err = <-ended:
		return fmt.Errorf("inside ended: %v (logs in %s)", err, filepath.Join(o.dir, "logs"))
	case <-stop:
	case <-input:
	}
	_ = init.Process.Kill()
	<-ended
	return nil
}

// newRealJanitor waits for the end of its input, which is the end of `real`, however that came.
func newRealJanitor() *cobra.Command {
	return &cobra.Command{Use: "real-janitor CGROUP DIR", Args: cobra.ExactArgs(2), SilenceUsage: true, RunE: func(_ *cobra.Command, args []string) error {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		_, _ = io.Copy(io.Discard, os.Stdin)
		left := removeCgroup(args[0], 30*time.Second)
		for range 20 { // what is inside may be ending still
			if err := os.RemoveAll(args[1]); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		return left
	}}
}

func newRealInit() *cobra.Command {
	o := &realTier{}
	return o.command("real-init", o.init)
}

// init is the first process of the process namespace. Orphans become its children, so it waits for
// whatever ends; that would disturb os/exec, hence the one child that does the rest.
func (o *realTier) init() error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", 0, ""},
		{"tmpfs", "/run", "tmpfs", 0, "mode=755"},
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pid, err := syscall.ForkExec(self, append([]string{self, "real-inside"}, os.Args[1:]...), &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2, listenerDescriptor}, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}})
	if err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if ended == pid {
			return fmt.Errorf("exit status %d", status.ExitStatus())
		}
	}
}

func newRealInside() *cobra.Command {
	o := &realTier{}
	return o.command("real-inside", o.inside)
}

func (o *realTier) inside() error {
	stop := make(chan os.Signal) // inside is never asked, only killed
	f, err := newFamily(filepath.Join(o.dir, "logs"))
	if err != nil {
		return err
	}
	defer f.stop()
	if err := o.network(); err != nil {
		return err
	}
	if err := o.serveRegistry(); err != nil {
		return err
	}
	// Nodes get their runtime and images while the control plane starts. Processes are started from this
	// thread only, whose life is the process's: see Pdeathsig.
	for _, n := range o.nodes {
		if err := n.prepare(f); err != nil {
			return err
		}
	}
	var imports sync.WaitGroup
	failures := make([]error, len(o.nodes))
	for i, n := range o.nodes {
		imports.Add(1)
		go func() {
			defer imports.Done()
			failures[i] = n.importImages()
		}()
	}
	o.bind, o.port = "0.0.0.0", 443 // with 10.96.0.1 on the loopback interface, pods reach it where a Service would be
	if err := o.start(f, stop); err != nil {
		return err
	}
	imports.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for _, n := range o.nodes {
		if err := n.startKubelet(f, &o.controlPlane); err != nil {
			return err
		}
	}
	server, err := o.forward()
	if err != nil {
		return err
	}
	var names []string
	for _, n := range o.nodes {
		names = append(names, n.name)
		if err := o.awaitNode(n, f, stop); err != nil {
			return err
		}
	}
	for _, user := range []string{"admin", "powerless"} { // whose users are outside
		if err := o.pki.kubeconfig(o.userConfig(user), server, user); err != nil {
			return err
		}
	}
	ready := map[string]any{"tier": "real", "dir": o.dir, "kubeconfig": o.userConfig("admin"), "powerless_kubeconfig": o.userConfig("powerless"),
		"server": server, "token": o.token, "logs": f.logs, "nodes": names, "registry": "registry.test",
		"registry_user": registryUser, "registry_password": registryPassword}
	if o.audit {
		ready["audit_log"] = o.auditLog()
	}
	if err := announce(ready); err != nil {
		return err
	}
	return o.obeyAll(f)
}

func (o *realTier) network() error {
	for _, command := range []string{"ip link set lo up", "ip addr add 10.96.0.1/32 dev lo"} {
		if err := shell(command); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// shell runs a command of plain words.
func shell(command string) error {
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

func (o *realTier) serveRegistry() error {
	handler, err := o.registryOptions.handler()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", registryAddress)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, handler) }()
	return nil
}

// forward passes connections to the port outside on to the API server.
func (o *realTier) forward() (server string, err error) {
	listener, err := net.FileListener(os.NewFile(listenerDescriptor, "port outside"))
	if err != nil {
		return "", err
	}
	go func() {
		for {
			outer, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer outer.Close()
				inner, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", o.port))
				if err != nil {
					return
				}
				defer inner.Close()
				pass := func(to, from net.Conn, done chan<- struct{}) {
					_, _ = io.Copy(to, from)
					_ = to.(*net.TCPConn).CloseWrite()
					done <- struct{}{}
				}
				done := make(chan struct{}, 2)
				go pass(inner, outer, done)
				go pass(outer, inner, done)
				<-done
				<-done
			}()
		}
	}()
	return "https://" + listener.Addr().String(), nil
}

func (o *realTier) awaitNode(n *node, f *family, stop <-chan os.Signal) error {
	return o.poll("/api/v1/nodes/"+n.name, f, stop, func(status int, body string) bool {
		return status == 200 && strings.Contains(body, `"type":"Ready","status":"True"`)
	})
}
