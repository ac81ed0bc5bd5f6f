package main

import "github.com/spf13/cobra"

func newRealTier() *cobra.Command    { return &cobra.Command{Use: "real"} }
func newRealInit() *cobra.Command    { return &cobra.Command{Use: "real-init"} }
func newRealInside() *cobra.Command  { return &cobra.Command{Use: "real-inside"} }
func newRealJanitor() *cobra.Command { return &cobra.Command{Use: "real-janitor"} }
func newRegistry() *cobra.Command    { return &cobra.Command{Use: "registry"} }
